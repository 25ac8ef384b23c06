"""Networks that grow on spoken digits: ALADE-SNN and its parts beside what keeps samples, at as many bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean

from benchmarks.catalogue import options_of
from benchmarks.images.configurations import METHODS
from benchmarks.records import Record
from benchmarks.settings import Settings
from benchmarks.summaries import mean_and_spread

CONFIGURATION = "growing"
"""Of the records."""

_SPLITS = ("official", "merged")
_HEAD = (
    "| strategy | official split: average incremental (%) | final (%) | merged split: average incremental (%) "
    "| final (%) | kept (bytes) | seeds |"
)
_N_EXPERIENCES = (10, 5)


@dataclass(frozen=True, eq=False)
class _Row:
    """A strategy of the table.

    Attributes:
        title: for people.
        strategy: its name.
        options: in which it is not as usual, memory apart.
    """

    title: str
    strategy: str
    options: Settings = field(default_factory=dict)

    def is_of(self, record: Record) -> bool:
        """Whether a run is one of these."""
        if record["strategy"] != self.strategy:
            return False
        wanted, found = {**options_of(self.strategy), **self.options}, record["settings"]["options"]
        return all(found[name] == value for name, value in wanted.items() if name != "memory")


def _ladder() -> Iterable[_Row]:
    """Yield the parts of ALADE-SNN, each row with one thing more than the one before it."""
    without: Settings = {
        "alignment": False, "distillation": 0.0, "suppression": False, "second_stage_epochs": 0, "expand": False
    }  # fmt: skip
    steps = {
        "replay": None, "expansion": "expand", "dynamically_expandable": "second_stage_epochs",
        "suppression": "suppression", "distillation": "distillation", "alade": "alignment",
    }  # fmt: skip
    for method, added in steps.items():
        if added is not None:
            del without[added]
        yield _Row(METHODS[method].title, "alade", dict(without))


_ROWS = (
    *_ladder(),
    _Row("wa without its alignment", "wa", {"alignment": False}),
    *(
        _Row(strategy.replace("_", " "), strategy)
        for strategy in ("wa", "icarl", "distilled_latent_replay", "der_plus_plus", "gdumb", "joint")
    ),
)


def markdown_growing(records: Iterable[Record]) -> str:
    """Return a table for ten experiences of two classes, and one for five of four.

    Args:
        records: of runs; those of another configuration are left out.
    """
    runs: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        settings = record["settings"]
        is_counted = settings["evaluate_on"] == "test" and not settings["quick"]
        if settings.get("configuration") == CONFIGURATION and is_counted:
            runs[settings["stream"].get("n_experiences", 0)].append(record)
    return "\n\n".join(_table(n_experiences, runs[n_experiences]) for n_experiences in _N_EXPERIENCES)


def _table(n_experiences: int, records: Sequence[Record]) -> str:
    title = f"**{n_experiences} experiences of {20 // n_experiences} classes**"
    runs = {row: [record for record in records if row.is_of(record)] for row in _ROWS}
    lines = [_line(row, of_row) for row, of_row in runs.items() if of_row]
    missing = ", ".join(row.title for row, of_row in runs.items() if not of_row)
    if not lines:
        return f"{title}: not run."
    table = "\n".join([title, "", _HEAD, "|" + "---|" * 7, *lines])
    return f"{table}\n\nNot run: {missing}." if missing else table


def _line(row: _Row, records: Sequence[Record]) -> str:
    cells = [row.title]
    for split in _SPLITS:
        of_split = [record for record in records if record["split"] == split]
        cells += _accuracies(of_split) if of_split else ["not run", ""]
    kept = "all data" if row.strategy == "joint" else ""
    if not kept:
        kept = f"{mean(record['memory_bytes'] for record in records):,.0f}"
    seeds = len({record["seed"] for record in records})
    return f"| {' | '.join([*cells, kept, str(seeds)])} |"


def _accuracies(records: Sequence[Record]) -> list[str]:
    return [
        mean_and_spread([100 * mean(record["seen_accuracy"]) for record in records]),
        mean_and_spread([100 * record["final_accuracy"] for record in records]),
    ]
