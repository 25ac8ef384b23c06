"""Whole runs on generated words: what they record, and that a seed, a cache or an interruption changes nothing."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import runner
from benchmarks.catalogue import benchmark_names, options_of, strategy_names, why_not
from benchmarks.records import REQUIRED
from benchmarks.refusals import all_refusals, write_refusal
from benchmarks.runner import run
from benchmarks.settings import RunPlan

Plans = Callable[..., RunPlan]
REPEATABLE = ("final_accuracy", "accuracy_matrix", "memory_bytes", "working_bytes", "data_sha256", "settings")
SMALL_MEMORY = {"memory": "4 kB", "after": "hidden1"}


# What the network's weights and those of other layers take beside exemplars: 70 x 24 + 24 x 24 + 24 x 16 + 16 x 16 +
# 16 x 20 weights in float32.
NETWORK_BYTES = 4 * 3216
BESIDE_EXEMPLARS = {
    "gdumb": NETWORK_BYTES,
    # The old network, scale and shift of the correction and at most 19 class numbers.
    "bic": NETWORK_BYTES + 2 * 4 + 19 * 8,
    # The old network with a linear layer, and class means three times: in the plugin, in the old network's classifier
    # and by class there.
    "icarl": NETWORK_BYTES + 4 * (16 * 20 + 20) + 3 * 4 * 16 * 20,
    "cope": 4 * 20 * 20,
    # The network before, with two masks of classes.
    "wa": NETWORK_BYTES + 2 * 20,
}
# Experiences with new classes behind the first: each has ALADE freeze an extractor and its part of the readout.
N_GROWTHS = {"class_incremental": 1, "multi_class_incremental": 10, "sample_incremental": 0, "split_classes": 9}
ON_PUBLISHED_BENCHMARKS = ("naive", "joint", "compressed_latent_replay")


def _is_quick(benchmark: str, strategy: str) -> bool:
    if benchmark == "split_classes":
        return strategy == "naive"
    return strategy in ON_PUBLISHED_BENCHMARKS or benchmark == "class_incremental"


COMBINATIONS = [
    pytest.param(
        benchmark,
        strategy,
        marks=() if _is_quick(benchmark, strategy) else pytest.mark.slow,
    )
    for benchmark in benchmark_names()
    for strategy in strategy_names()
]


# Latents are so small that all of them together would not fill a usual budget.
OF_LATENTS = ("compressed_latent_replay", "distilled_latent_replay", "replay4ncl")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks trained on experience 0, for all strategies."""
    return tmp_path_factory.mktemp("networks")


@pytest.mark.parametrize(("benchmark", "strategy"), COMBINATIONS)
def test_every_strategy_runs_on_every_benchmark_or_says_why_not(
    benchmark: str, strategy: str, small_plan: Plans, tmp_path: Path, networks: Path
) -> None:
    options: dict[str, str] = {"memory": "60 kB"} if "memory" in options_of(strategy) else {}
    if strategy in OF_LATENTS:
        options = SMALL_MEMORY
    if strategy == "rwalk":
        options = {"steps_between_scores": "2"}  # the shortest first experience has four steps
    plan = small_plan(benchmark, strategy, options=options)
    if reason := why_not(strategy, benchmark):
        with pytest.raises(ValueError, match=f"^{strategy} cannot run on {benchmark}: {re.escape(reason)}"):
            run(plan, tmp_path, cache=networks)
        return
    record = run(plan, tmp_path, cache=networks)
    n_experiences = len(record["evaluation_sizes"])
    assert n_experiences == {"multi_class_incremental": 11, "split_classes": 10}.get(benchmark, 2)
    rows = 1 if strategy == "joint" else n_experiences
    assert [len(row) for row in record["accuracy_matrix"]] == [n_experiences] * rows
    assert all(0 <= accuracy <= 1 for row in record["accuracy_matrix"] for accuracy in row)
    for confusion, row in zip(record["confusion"].values(), record["accuracy_matrix"][:: rows - 1 or 1], strict=False):
        right = sum(confusion[label][label] for label in range(20))
        sizes = record["evaluation_sizes"]
        assert sum(map(sum, confusion)) == sum(sizes)
        assert right == round(sum(accuracy * size for accuracy, size in zip(row, sizes, strict=True)))
    assert set(REQUIRED) <= set(record)
    assert record["data_name"] == "SyntheticSpokenDigits"
    if strategy in OF_LATENTS:
        assert 0 < record["memory_bytes"] <= 4000
        assert record["working_bytes"] > 0
    elif "memory" in options:
        beside = N_GROWTHS[benchmark] * NETWORK_BYTES if strategy == "alade" else BESIDE_EXEMPLARS.get(strategy, 0)
        exemplars = record["memory_bytes"] - beside
        # GEM and A-GEM share the budget among experiences, and round down for each.
        least = 30_000 if strategy in ("agem", "gem") else 50_000
        assert least < exemplars <= 60_000
    if strategy == "naive":
        assert record["memory_bytes"] == record["working_bytes"] == 0


@pytest.mark.parametrize(("strategy", "shares"), [("gdumb", False), ("si", False), ("ewc", True), ("der", True)])
def test_what_learns_while_it_trains_trains_the_first_experience_itself(
    strategy: str, shares: bool, small_plan: Plans, tmp_path: Path, cache: Path
) -> None:
    options = {"memory": "60 kB"} if "memory" in options_of(strategy) else {}
    plan = small_plan("class_incremental", strategy, options=options)
    assert (run(plan, tmp_path, cache=cache)["first_seconds"] > 0) == shares
    assert (runner.shared_network(plan) is not None) == shares


def test_a_strategy_that_trains_from_scratch_gets_the_epochs_of_the_first_experience_each_time(
    small_plan: Plans, tmp_path: Path, cache: Path
) -> None:
    class Epochs:
        last = (0, 0)

        def reached(self, epoch: Any) -> None:
            self.last = (epoch.n_epochs, epoch.n_all)

        def network_is_ready(self) -> None:
            raise AssertionError("it shares no network")

        def close(self) -> None:
            pass

    view = Epochs()
    plan = small_plan("class_incremental", "gdumb", options={"memory": "60 kB"})
    run(plan, tmp_path, cache=cache, view=view)
    assert view.last == (2 * plan.training.first_epochs, 2 * plan.training.first_epochs)


def test_what_draws_from_other_generators_is_repeatable_too(small_plan: Plans, tmp_path: Path, cache: Path) -> None:
    plan = small_plan("class_incremental", "agem", options={"memory": "60 kB"})
    first = run(plan, tmp_path / "a", cache=cache)
    random.seed(99)
    second = run(plan, tmp_path / "b", cache=cache)
    for name in REPEATABLE:
        assert first[name] == second[name]


def test_a_memory_that_is_too_small_is_refused_and_written_down(
    small_plan: Plans, tmp_path: Path, networks: Path
) -> None:
    plan = small_plan("class_incremental", "replay_balanced", options={"memory": "1 kB"})
    with pytest.raises(ValueError, match=r"too small for 20 exemplars, one of each class: .* is the least that works"):
        run(plan, tmp_path, cache=networks)
    (refusal,) = all_refusals(tmp_path)
    assert (refusal.benchmark, refusal.strategy, refusal.seed) == ("class_incremental", "replay_balanced", 0)
    assert refusal.least_bytes is not None
    assert refusal.least_bytes % 20 == 0
    least = small_plan("class_incremental", "replay_balanced", options={"memory": refusal.least_bytes})
    assert run(least, tmp_path, cache=networks)["memory_bytes"] <= refusal.least_bytes


def test_a_memory_of_latents_that_is_too_small_is_refused_and_written_down_too(
    small_plan: Plans, tmp_path: Path, networks: Path
) -> None:
    plan = small_plan("class_incremental", "compressed_latent_replay", options={"memory": "1 kB"})
    with pytest.raises(ValueError, match="too small for one exemplar of each of 20 classes"):
        run(plan, tmp_path, cache=networks)
    (refusal,) = all_refusals(tmp_path)
    # 20 time steps of 16 neurons, and an index of 24 bytes for each class.
    assert refusal.least_bytes == 20 * (20 * 16 // 8 + 24)


def test_a_refusal_is_forgotten_when_the_run_works(small_plan: Plans, tmp_path: Path, networks: Path) -> None:
    plan = small_plan("class_incremental", "naive")
    write_refusal(plan, "SyntheticSpokenDigits", ValueError("it did not work"), tmp_path)
    assert [refusal.reason for refusal in all_refusals(tmp_path)] == ["it did not work"]
    run(plan, tmp_path, cache=networks)
    assert not list(all_refusals(tmp_path))


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
