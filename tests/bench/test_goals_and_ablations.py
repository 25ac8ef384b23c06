"""Goals beside what records say, and configurations with one thing changed."""

from __future__ import annotations

from typing import Any

from made_records import record_of

from benchmarks.ablations import markdown_ablations
from benchmarks.goals import Aim, Goal, markdown_goals
from benchmarks.plans import make_plan


def record(final: float, seed: int = 0, *, validation: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A record of the configuration "sparse", with changes as `make_plan` takes them."""
    plan = make_plan(
        "class_incremental", "distilled_latent_replay", configuration="sparse", seed=seed, validation=validation,
        **changes,
    )  # fmt: skip
    return record_of(plan.strategy, seed, final, settings=plan.settings, first_seconds=4.0)


LABEL = "distilled latent replay (sparse, 160 kB)"


def rows(goal: Goal, records: list[dict[str, Any]]) -> str:
    return markdown_goals(records, [goal]).splitlines()[-1]


def test_a_goal_is_met_by_the_mean_over_seeds_and_says_how_many_there_are() -> None:
    goal = Goal(
        "Old / all", "90 / -", (Aim("class_incremental", LABEL, 60.0), Aim("class_incremental", LABEL, 59.0)),
        lambda record: 100 * record["final_accuracy"],
    )  # fmt: skip
    two = [record(0.58), record(0.60, 1)]
    assert rows(goal, two) == "| Old / all | 90 / - | ≥ 60 / 59 | 59.0 ± 1.4 (2 seeds) / **59.0** ± 1.4 (2 seeds) |"
    three = [*two, record(0.62, 2)]
    assert rows(goal, three).endswith("| **60.0** ± 2.0 / **60.0** ± 2.0 |")


def test_only_the_configuration_itself_counts() -> None:
    goal = Goal("All", "-", (Aim("class_incremental", LABEL, 50.0),), lambda record: 100 * record["final_accuracy"])
    others = [
        record(0.9, options={"memory": "16 kB"}),
        record(0.9, options={"distillation": 0.0}),
        record(0.9, training={"first_epochs": 3}),
        record(0.9, training={"sparse_spikes": {}}),
        record(0.9, validation=0.1),
        record_of("distilled_latent_replay", final=0.9, data="synthetic"),
    ]
    assert rows(goal, others).endswith("| not run |")
    assert rows(goal, [*others, record(0.4)]).endswith("| 40.0 (1 seed) |")


def test_seconds_are_better_the_fewer_they_are() -> None:
    goal = Goal(
        "Seconds", "-", (Aim("class_incremental", LABEL, 6.0),), lambda record: record["seconds"] - 4.0,
        smaller_is_better=True, unit="s",
    )  # fmt: skip
    # Ten seconds of the whole run, four of them on the first experience.
    assert rows(goal, [record(0.5)]) == "| Seconds | - | ≤ 6 s | **6.0** (1 seed) |"


def test_the_goals_of_the_readme_name_labels_that_plans_have() -> None:
    assert rows_with_figures(markdown_goals([record(0.97), record(0.96, options={"memory": "16 kB"})])) == 2


def rows_with_figures(table: str) -> int:
    return sum("(1 seed)" in line for line in table.splitlines() if "Class-Incremental 19" in line or "old" in line)


def test_ablations_say_what_was_changed_and_by_how_much() -> None:
    records = [
        record(0.90, validation=0.1),
        record(0.80, validation=0.1, options={"memory": "16 kB"}),
        record(0.85, validation=0.1, options={"distillation": 0.0}),
        record(0.60, validation=0.1, options={"distillation": 0.0, "memory": "16 kB"}),
        record(0.91, validation=0.1, training={"sparse_spikes": {}}),
        record(0.10),  # on the test stream: chooses nothing
    ]
    lines = markdown_ablations(records).splitlines()
    assert lines[0].startswith("**sparse** (adaptive neurons")
    assert lines[0].endswith("Class-Incremental, 19 classes + 1, merged split, validation data")
    assert lines[2:] == [
        "| changed | 160 kB (%) | 16 kB (%) |",
        "|---|---|---|",
        "| as it is | 90.0 | 80.0 |",
        "| distillation=0.0 | 85.0 (-5.0) | 60.0 (-20.0) |",
        "| sparse_spikes={} | 91.0 (+1.0) |  |",
    ]
    assert markdown_ablations(records[-1:]) == "None of these runs has a record yet."
