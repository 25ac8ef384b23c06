"""The README's table of networks that grow, on figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.catalogue import options_of
from benchmarks.growing_table import markdown_growing
from benchmarks.records import Record


def record_of(strategy: str, final: float, split: str = "official", seed: int = 0, **options: Any) -> Record:
    n_experiences = options.pop("n_experiences", 10)
    configuration = options.pop("configuration", "growing")
    return {
        "strategy": strategy,
        "split": split,
        "seed": seed,
        "final_accuracy": final,
        "seen_accuracy": [1.0, 0.9, final],
        "memory_bytes": 4_000_000 + seed,
        "settings": {
            "configuration": configuration,
            "evaluate_on": "test",
            "quick": False,
            "stream": {"n_experiences": n_experiences, "split": split},
            "options": {**options_of(strategy), "memory": "4 MB", **options},
        },
    }


def lines_of(records: list[Record], n_experiences: int = 10) -> list[str]:
    """Return the rows of a table."""
    text = markdown_growing(records)
    return text[text.index(f"**{n_experiences} experiences") :].split("\n\n**")[0].splitlines()[4:]


def test_means_over_seeds_by_split() -> None:
    records = [record_of("alade", 0.8), record_of("alade", 0.7, seed=2), record_of("alade", 0.95, "merged")]
    (line,) = [line for line in lines_of(records) if "ALADE" in line]
    assert line == "| + logit alignment: ALADE | 88.3 ± 2.4 | 75.0 ± 7.1 | 95.0 | 95.0 | 4,000,001 | 2 |"


@pytest.mark.parametrize(
    ("title", "options"),
    [
        ("+ divergence from the network before", {"alignment": False}),
        ("+ old-to-new suppression", {"alignment": False, "distillation": 0.0}),
        ("+ second stage", {"alignment": False, "distillation": 0.0, "suppression": False}),
    ],
)
def test_each_part_has_its_row(title: str, options: dict[str, Any]) -> None:
    line, *others = lines_of([record_of("alade", 0.5, **options)])
    assert line.split(" | ")[0] == f"| {title}"
    assert not any(other.startswith("|") for other in others)


def test_what_was_not_run_is_named_and_other_runs_are_left_out() -> None:
    others = [record_of("joint", 0.9, configuration="sparse"), record_of("gdumb", 0.6, n_experiences=5)]
    ten, five = markdown_growing(others).split("\n\n", 1)
    assert ten == "**10 experiences of 2 classes**: not run."
    assert five.splitlines()[4] == "| gdumb | 83.3 | 60.0 | not run |  | 4,000,000 | 1 |"
    assert five.splitlines()[-1].startswith("Not run: replay of herded exemplars, expansion, auxiliary loss, + second")
    assert five.splitlines()[-1].endswith("icarl, distilled latent replay, der plus plus, joint.")
