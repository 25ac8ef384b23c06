"""The table of the published protocol, on figures worked out by hand."""

from __future__ import annotations

from typing import Any

from made_records import record_of

from benchmarks.plans import make_plans
from benchmarks.protocol_table import FOLDER, markdown_protocol
from benchmarks.settings import RunPlan
from benchmarks.sweeps.files import find_sweep, read_sweep


def plans(new_class: int) -> list[RunPlan]:
    return make_plans(
        ["class_incremental"], ["distilled_latent_replay"], configuration="sparse", stream={"new_class": new_class}
    )


def record(new_class: int, final: float) -> dict[str, Any]:
    (plan,) = plans(new_class)
    return record_of(plan.strategy, 0, final, settings=plan.settings, memory_bytes=150_000 + new_class)


def test_mean_spread_and_range_are_over_what_takes_its_turn() -> None:
    planned = [plan for new_class in (3, 5, 7) for plan in plans(new_class)]
    row = markdown_protocol([record(3, 0.9), record(5, 0.96)], planned).splitlines()[-1]
    assert row == (
        "| Class-Incremental, 19 classes + 1: each of 20 classes | distilled latent replay (sparse, 160 kB) "
        "| 93.0 ± 4.2 | 90.0, 96.0 | 40.0 ± 0.0 | 80.0 ± 0.0 | 150,004 | 2 of 3 |"
    )


def test_what_has_no_record_is_not_run() -> None:
    assert "| not run | | | | | 0 of 1 |" in markdown_protocol([], plans(3))


def test_the_sweep_has_every_class_every_speaker_and_three_orders() -> None:
    sweep = read_sweep(find_sweep(FOLDER))
    assert sweep.folder == FOLDER
    streams = [plan.stream for plan in sweep.plans]
    assert {stream["new_class"] for stream in streams if "new_class" in stream} == set(range(20))
    assert {stream["new_speaker"] for stream in streams if "new_speaker" in stream} == set(range(12))
    orders = {tuple(stream["fixed_class_order"]) for stream in streams if "fixed_class_order" in stream}
    assert len(orders) == 3
    assert all(sorted(order) == list(range(20)) for order in orders)
