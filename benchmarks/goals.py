"""What this project set out to reach, beside what was published and what the records say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.records import Record
from benchmarks.summaries import Summary, spread_behind, summarise

_NOT_RUN = "not run"


@dataclass(frozen=True)
class Aim:
    """One figure of a goal: the configuration that it is taken from.

    Attributes:
        benchmark, label, split: of the runs; the label as tables have it.
        goal: in the unit of the row.
    """

    benchmark: str
    label: str
    goal: float
    split: str = "merged"


@dataclass(frozen=True)
class Goal:
    """A row of the table.

    Attributes:
        title: for people.
        published: figures, for people.
        aims: one or several figures of the row.
        figure: record -> the figure, larger is better unless `smaller_is_better`.
    """

    title: str
    published: str
    aims: tuple[Aim, ...]
    figure: Callable[[Record], float]
    smaller_is_better: bool = False
    unit: str = "%"


def _final(record: Record) -> float:
    return 100 * float(record["final_accuracy"])


def _old_classes(record: Record) -> float:
    return 100 * float(record["accuracy_matrix"][-1][0])


def _seconds_a_class(record: Record) -> float:
    return float(record["seconds"] - record["first_seconds"]) / (len(record["accuracy_matrix"]) - 1)


def _at(benchmark: str, goals: dict[str, float]) -> tuple[Aim, ...]:
    return tuple(Aim(benchmark, _ours(memory), goal) for memory, goal in goals.items())


def _ours(memory: str, configuration: str = "sparse") -> str:
    return f"distilled latent replay ({configuration}, {memory})"


GOALS = (
    Goal("Joint training", "-", (Aim("class_incremental", "joint (thorough)", 97.5),), _final),
    Goal(
        "Sample-Incremental, unlimited / 160 kB / 16 kB",
        "92.5 / 88.8 / -",
        _at("sample_incremental", {"unlimited": 97.0, "160 kB": 96.5, "16 kB": 96.0}),
        _final,
    ),
    Goal(
        "Class-Incremental 19 + 1, unlimited / 160 kB / 16 kB",
        "92.0 / 85.5 / -",
        _at("class_incremental", {"unlimited": 96.5, "160 kB": 96.0, "16 kB": 95.0}),
        _final,
    ),
    Goal(
        "the same, on the old classes only (160 kB)",
        "90.4 (Replay4NCL)",
        _at("class_incremental", {"160 kB": 96.5}),
        _old_classes,
    ),
    Goal(
        "Multi-Class 10 -> 20, unlimited / 160 kB / 16 kB",
        "78.4 / - / -",
        _at("multi_class_incremental", {"unlimited": 94.0, "160 kB": 92.0, "16 kB": 85.0}),
        _final,
    ),
    Goal(
        "The publication's network, neurons and method (1600 kB), clean: Sample / Class / Multi-Class",
        "92.5 / 92.0 / 78.4",
        tuple(
            Aim(benchmark, "compressed latent replay (paper_trained, 1600 kB)", goal)
            for benchmark, goal in (
                ("sample_incremental", 92.5),
                ("class_incremental", 92.0),
                ("multi_class_incremental", 78.4),
            )
        ),
        _final,
    ),
    Goal(
        "Official split: joint / Multi-Class 10 -> 20 at 160 kB",
        "96.4 / -",
        (
            Aim("multi_class_incremental", "joint (voices)", 95.0, split="official"),
            Aim("multi_class_incremental", _ours("160 kB", "voices"), 88.0, split="official"),
        ),
        _final,
    ),
    Goal(
        "Seconds to learn one new class, one thread, 160 kB",
        "-",
        _at("multi_class_incremental", {"160 kB": 20.0}),
        _seconds_a_class,
        smaller_is_better=True,
        unit="s",
    ),
)
"""The rows, in the order of the table."""


def markdown_goals(records: Iterable[Record], goals: Sequence[Goal] = GOALS) -> str:
    """Return the table in Markdown: mean over seeds, with the standard deviation where there are several.

    A figure that reaches its goal is set in bold; seeds are said where they are not three.
    """
    known = {
        (summary.benchmark, summary.label, summary.split): summary
        for summary in summarise(record for record in records if record["data"] == "shd")
        if summary.is_usual_length
    }
    lines = ["| SHD | published | goal | here |", "|---|---|---|---|"]
    for goal in goals:
        sign = "≤" if goal.smaller_is_better else "≥"
        wanted = " / ".join(f"{aim.goal:g}" for aim in goal.aims)
        unit = " s" if goal.unit == "s" else ""
        found = " / ".join(_found(goal, aim, known.get((aim.benchmark, aim.label, aim.split))) for aim in goal.aims)
        lines.append(f"| {goal.title} | {goal.published} | {sign} {wanted}{unit} | {found} |")
    return "\n".join(lines)


def _found(goal: Goal, aim: Aim, summary: Summary | None) -> str:
    if summary is None:
        return _NOT_RUN
    figures = [goal.figure(record) for record in summary.records]
    value = mean(figures)
    spread = spread_behind(figures)
    seeds = "" if len(figures) == 3 else f" ({len(figures)} seed{'s' if len(figures) > 1 else ''})"
    reached = value <= aim.goal if goal.smaller_is_better else value >= aim.goal
    return f"**{value:.1f}**{spread}{seeds}" if reached else f"{value:.1f}{spread}{seeds}"
