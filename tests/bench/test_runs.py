"""Whole runs on generated words: what they record, and that a seed, a cache or an interruption changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import runner
from benchmarks.catalogue import benchmark_names, strategy_names
from benchmarks.records import REQUIRED
from benchmarks.runner import run
from benchmarks.settings import RunPlan

Plans = Callable[..., RunPlan]
REPEATABLE = ("final_accuracy", "accuracy_matrix", "memory_bytes", "working_bytes", "data_sha256", "settings")
SMALL_MEMORY = {"memory": "4 kB", "after": "hidden1"}


@pytest.mark.parametrize("benchmark", benchmark_names())
@pytest.mark.parametrize("strategy", strategy_names())
def test_every_strategy_runs_on_every_benchmark(
    benchmark: str, strategy: str, small_plan: Plans, tmp_path: Path, cache: Path
) -> None:
    options = {"compressed_latent_replay": SMALL_MEMORY, "replay": {"memory": "60 kB"}}.get(strategy, {})
    record = run(small_plan(benchmark, strategy, options=options), tmp_path, cache=cache)
    n_experiences = {"class_incremental": 2, "multi_class_incremental": 11, "sample_incremental": 2}[benchmark]
    rows = 1 if strategy == "joint" else n_experiences
    assert [len(row) for row in record["accuracy_matrix"]] == [n_experiences] * rows
    assert all(0 <= accuracy <= 1 for row in record["accuracy_matrix"] for accuracy in row)
    assert set(REQUIRED) <= set(record)
    assert record["data_name"] == "SyntheticSpokenDigits"
    if strategy == "compressed_latent_replay":
        assert 0 < record["memory_bytes"] <= 4000
        assert record["working_bytes"] > 0
    if strategy == "naive":
        assert record["memory_bytes"] == record["working_bytes"] == 0


def test_final_accuracy_weighs_experiences_by_their_samples(small_plan: Plans, tmp_path: Path, cache: Path) -> None:
    record = run(small_plan("class_incremental", "naive"), tmp_path, cache=cache)
    (old, new), (n_old, n_new) = record["accuracy_matrix"][-1], record["evaluation_sizes"]
    assert record["final_accuracy"] == pytest.approx((old * n_old + new * n_new) / (n_old + n_new))
    assert record["seen_accuracy"][0] == record["accuracy_matrix"][0][0]


def test_same_seed_same_numbers_with_and_without_a_cached_network(
    small_plan: Plans, tmp_path: Path, cache: Path
) -> None:
    plan = small_plan("class_incremental", "compressed_latent_replay", options=SMALL_MEMORY)
    trained = run(plan, tmp_path / "a", cache=cache)
    torch.manual_seed(12345)  # whatever happened before in the process
    cached = run(plan, tmp_path / "b", cache=cache)
    trained_again = run(plan, tmp_path / "c", cache=tmp_path / "other networks")
    for name in REPEATABLE:
        assert trained[name] == cached[name] == trained_again[name]


def test_another_seed_gives_other_numbers_under_the_same_settings(
    small_plan: Plans, tmp_path: Path, cache: Path
) -> None:
    zero = run(small_plan("class_incremental", "naive", seed=0), tmp_path, cache=cache)
    one = run(small_plan("class_incremental", "naive", seed=1), tmp_path, cache=cache)
    assert zero["settings"] == one["settings"]
    assert zero["accuracy_matrix"] != one["accuracy_matrix"]
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_run_with_a_record_is_not_repeated_unless_asked(
    small_plan: Plans, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan("class_incremental", "naive")
    first = run(plan, tmp_path, cache=cache)
    assert run(plan, tmp_path, again=True, cache=cache)["seconds"] != first["seconds"]

    def fail(*_: object) -> None:
        raise AssertionError("this run has a record")

    monkeypatch.setattr(runner._Run, "carry_out", fail)
    assert run(plan, tmp_path, cache=cache)["accuracy_matrix"] == first["accuracy_matrix"]


@pytest.mark.parametrize("where", ["pretrain", "_learn"])
def test_an_interrupted_run_leaves_no_record_and_nothing_half_written(
    where: str, small_plan: Plans, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    target = runner if where == "pretrain" else runner._Run
    with monkeypatch.context() as patch:
        patch.setattr(target, where, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(small_plan("class_incremental", "naive"), tmp_path / "results", cache=cache)
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.partial"))
    assert run(small_plan("class_incremental", "naive"), tmp_path / "results", cache=cache)["final_accuracy"] >= 0


def test_choosing_settings_never_looks_at_the_test_stream(
    small_plan: Plans, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan("class_incremental", "naive", validation=0.25)
    assert plan.evaluate_on == "valid"
    original = runner._Run._learn

    def without_test_stream(self: runner._Run, strategy: object) -> list[list[float]]:
        self.scenario.test_stream = None
        return original(self, strategy)

    monkeypatch.setattr(runner._Run, "_learn", without_test_stream)
    assert run(plan, tmp_path, cache=cache)["settings"]["evaluate_on"] == "valid"


def test_records_are_json_that_says_where_they_come_from(small_plan: Plans, tmp_path: Path, cache: Path) -> None:
    plan = small_plan("class_incremental", "naive")
    run(plan, tmp_path, cache=cache)
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert path.stem == plan.identifier
    assert record["split"] == "merged"
    assert record["versions"]["torch"] == torch.__version__.split("+")[0] or record["versions"]["torch"]
    assert len(record["data_sha256"]) == 64
