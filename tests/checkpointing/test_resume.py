"""Going on with a run inside one process: where it goes on, what it trains, and that the outcome is the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.logging import BaseLogger
from avalanche.training.plugins import (
    EvaluationPlugin,
    EWCPlugin,
    GDumbPlugin,
    GEMPlugin,
    LwFPlugin,
    MASPlugin,
    ReplayPlugin,
    RWalkPlugin,
    SynapticIntelligencePlugin,
)
from avalanche.training.supervised import Naive
from checkpointed_runs import (
    EPOCHS,
    LATER_EPOCHS,
    ONLY_NEW_CLASSES,
    Moments,
    assert_same,
    compose,
    go_on,
    outcome_of,
)
from tiny_learners import Silence, seed_everything, tiny_benchmark, tiny_network, tiny_sequential, tiny_strategy
from torch import nn

from avalanche_snn.checkpointing import resume
from avalanche_snn.checkpointing.files import read_checkpoint
from avalanche_snn.evaluation import spike_metrics
from avalanche_snn.training import CompressedLatentReplayPlugin
from benchmarks.catalogue import find_strategy, strategy_names

#: One that only trains, penalties, replays, teachers, exemplars of its own, one that grows: the slow tier has all.
OF_EACH_KIND = {"naive", "ewc", "replay", "der_plus_plus", "gdumb", "lwf", "gem", "icarl", "alade"}


class StoppedError(Exception):
    """Stands for the death of a process."""


class StopAt:
    """Stop a run when a moment has been reached so many times."""

    def __init__(self, moment: str, times: int = 1) -> None:
        self.moment, self.times = moment, times
        self.reached: list[str] = []

    def __call__(self, moment: str) -> None:
        self.reached.append(moment)
        if self.reached.count(self.moment) == self.times:
            raise StoppedError


def stopped(name: str, path: Path, moment: str, times: int = 1, **options: Any) -> None:
    with pytest.raises(StoppedError):
        go_on(name, path, StopAt(moment, times), **options)


class Outcomes(dict[str, Any]):
    """The outcomes of runs that nothing was ever saved of."""

    def __missing__(self, name: str) -> Any:
        self[name] = outcome_of(left_alone(name))
        return self[name]


@pytest.fixture(scope="module")
def expected() -> Outcomes:
    return Outcomes()


def left_alone(name: str, **options: Any) -> Any:
    strategy, benchmark = compose(name, **options)
    if name == "joint":
        strategy.train(benchmark.train_stream)
        strategy.eval(benchmark.test_stream)
        return strategy
    for experience in benchmark.train_stream:
        strategy.train(experience)
        strategy.train_epochs = LATER_EPOCHS
        strategy.eval(benchmark.test_stream)
    return strategy


@pytest.mark.parametrize(
    "name",
    [
        name if name in OF_EACH_KIND else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted({*strategy_names()} - {"joint", "streaming_lda"})
    ],
)
def test_an_epoch_of_one_experience_and_the_beginning_of_the_next(name: str, tmp_path: Path) -> None:
    """Two deaths, the second one in what was gone on with; every strategy but the two of the tests below."""
    returning = name not in ONLY_NEW_CLASSES
    stopped(name, tmp_path / "c", "after_training_epoch", EPOCHS + 2, returning=returning)
    assert read_checkpoint(tmp_path / "c")["position"]["point"] == "epoch"
    stopped(name, tmp_path / "c", "before_training_exp", 2, returning=returning)
    assert read_checkpoint(tmp_path / "c")["position"] == {
        "point": "experience",
        "start": 2,
        "experience": 2,
        "epoch": 0,
    }
    alone = outcome_of(left_alone(name, returning=returning))
    assert_same(outcome_of(go_on(name, tmp_path / "c", returning=returning)), alone)


def test_streaming_lda_has_one_epoch_an_experience(tmp_path: Path, expected: Outcomes) -> None:
    stopped("streaming_lda", tmp_path / "c", "after_training_iteration", 3)
    assert read_checkpoint(tmp_path / "c")["position"]["start"] == 1
    assert_same(outcome_of(go_on("streaming_lda", tmp_path / "c")), expected["streaming_lda"])


@pytest.mark.parametrize("name", ["joint", "cumulative", "replay", "rice"])
def test_an_epoch_in_the_middle_of_an_experience(name: str, tmp_path: Path, expected: Outcomes) -> None:
    epoch = 2 if name == "joint" else EPOCHS + 2
    stopped(name, tmp_path / "c", "after_training_epoch", epoch)
    again = StopAt("never")
    strategy = go_on(name, tmp_path / "c", again)
    left = 2 if name == "joint" else 1 + LATER_EPOCHS
    assert again.reached.count("after_training_epoch") == left
    assert_same(outcome_of(strategy), expected[name])


@pytest.mark.parametrize(
    ("moment", "times", "epochs_left"),
    [
        ("before_training_iteration", 2, EPOCHS + 2 * LATER_EPOCHS),  # nothing but the start was saved
        ("after_training_exp", 1, 1 + 2 * LATER_EPOCHS),
        ("before_eval", 1, 2 * LATER_EPOCHS),
        ("after_eval", 3, 0),
    ],
)
def test_every_place_of_a_run(moment: str, times: int, epochs_left: int, tmp_path: Path, expected: Outcomes) -> None:
    stopped("rice", tmp_path / "c", moment, times)
    again = StopAt("never")
    strategy = go_on("rice", tmp_path / "c", again)
    assert again.reached.count("after_training_epoch") == epochs_left
    assert_same(outcome_of(strategy), expected["rice"])


def test_only_between_experiences(tmp_path: Path, expected: Outcomes) -> None:
    stopped("herding", tmp_path / "c", "before_training_epoch", EPOCHS + 2, every_epochs=None)
    assert read_checkpoint(tmp_path / "c")["position"] == {
        "point": "experience",
        "start": 1,
        "experience": 1,
        "epoch": 0,
    }
    again = StopAt("never")
    strategy = go_on("herding", tmp_path / "c", again, every_epochs=None)
    assert again.reached.count("after_training_epoch") == 2 * LATER_EPOCHS
    assert_same(outcome_of(strategy), expected["herding"])


def test_every_second_epoch(tmp_path: Path) -> None:
    stopped("naive", tmp_path / "c", "before_training_epoch", EPOCHS, every_epochs=2)
    position = read_checkpoint(tmp_path / "c")["position"]
    assert position == {"point": "epoch", "start": 0, "experience": 0, "epoch": 2}


def test_a_run_that_is_over_only_evaluates_again(tmp_path: Path, expected: Outcomes) -> None:
    go_on("rice", tmp_path / "c")
    content = (tmp_path / "c").read_bytes()
    again = StopAt("never")
    strategy = go_on("rice", tmp_path / "c", again)
    assert "before_training_exp" not in again.reached
    assert "before_eval" in again.reached
    assert_same(outcome_of(strategy), expected["rice"])
    assert (tmp_path / "c").read_bytes() == content


def test_one_call_for_the_whole_stream(tmp_path: Path) -> None:
    def run(path: Path, reached: Any) -> Any:
        strategy, benchmark = compose("rice", reached)
        start = resume(path, strategy, benchmark, every_epochs=2)
        strategy.train(benchmark.train_stream[start:])
        return strategy

    alone = outcome_of(run(tmp_path / "alone", StopAt("never")))
    with pytest.raises(StoppedError):
        run(tmp_path / "c", StopAt("after_training_epoch", EPOCHS + 3))
    assert_same(outcome_of(run(tmp_path / "c", StopAt("never"))), alone)


def test_a_plain_sequential_and_a_scheduler_of_the_script(tmp_path: Path) -> None:
    """A network that the plugin makes cuttable, an evaluation within training, a scheduler stepped by the loop."""

    def run(path: Path, n_experiences: int) -> tuple[Any, Any]:
        benchmark = tiny_benchmark()
        seed_everything()
        model = tiny_sequential(nn.Sequential)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        strategy = Naive(
            model=model,
            optimizer=optimizer,
            train_mb_size=8,
            eval_mb_size=16,
            train_epochs=2,
            plugins=[CompressedLatentReplayPlugin("spikes", "200 B", "any/2")],
            evaluator=EvaluationPlugin(loggers=[Silence()]),
            eval_every=1,
        )
        start = resume(path, strategy, benchmark, every_epochs=1, also={"scheduler": scheduler})
        for experience in benchmark.train_stream[start:n_experiences]:
            strategy.train(experience)
            scheduler.step()
        return strategy, scheduler

    alone = outcome_of(run(tmp_path / "alone", 3)[0])
    run(tmp_path / "c", 1)
    strategy, scheduler = run(tmp_path / "c", 3)
    assert scheduler.last_epoch == 3
    assert strategy.optimizer.param_groups[0]["lr"] == 0.1 / 8
    assert_same(outcome_of(strategy), alone)


class ClonedSynapticIntelligence(SynapticIntelligencePlugin):
    """A subclass that holds no more than its base, whose weights of before are aliases of those of now on the CPU."""

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        super().before_training_exp(strategy, *args, **kwargs)
        for stored in self.ewc_data[0].values():
            stored.data = stored.data.clone()

    def before_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        super().before_training_iteration(strategy, *args, **kwargs)
        for stored in self.syn_data["old_theta"].values():
            stored.data = stored.data.clone()


@pytest.mark.parametrize(
    "make",
    [
        lambda: EWCPlugin(50.0),
        lambda: EWCPlugin(50.0, mode="online", decay_factor=0.9),
        lambda: MASPlugin(2.0),
        lambda: SynapticIntelligencePlugin(1e4),
        lambda: ClonedSynapticIntelligence(1e4),
        lambda: RWalkPlugin(delta_t=2),
        lambda: GEMPlugin(3, 0.5),
        lambda: ReplayPlugin(5),
        lambda: GDumbPlugin(5),
        lambda: LwFPlugin(),
    ],
    ids=["EWC", "online EWC", "MAS", "SI", "SI with copies", "RWalk", "GEM", "replay", "GDumb", "LwF"],
)
def test_plugins_of_avalanche_that_do_not_say_their_state(make: Callable[[], Any], tmp_path: Path) -> None:
    def run(path: Path | None, stop: StopAt) -> dict[str, Any]:
        benchmark = tiny_benchmark(n_each=3)
        seed_everything()
        strategy = tiny_strategy(tiny_network(), [make(), Moments(stop)], optimizer=None)
        start = 0 if path is None else resume(path, strategy, benchmark, every_epochs=1)
        for experience in benchmark.train_stream[start:]:
            strategy.train(experience)
        return outcome_of(strategy)

    expected = run(None, StopAt("never"))
    with pytest.raises(StoppedError):
        run(tmp_path / "c", StopAt("after_training_epoch", 4))
    assert_same(run(tmp_path / "c", StopAt("never")), expected)


def test_mir_looks_through_what_it_did_though_larger_samples_left_room_for_fewer(tmp_path: Path) -> None:
    """Experience 1 brings samples of twice the bytes; exemplars to choose from stay those of before until it ends."""

    def run(path: Path | None, stop: StopAt) -> dict[str, Any]:
        benchmark = tiny_benchmark()
        benchmark.train_data.rasters[12:] *= 3
        seed_everything()
        options = {"memory": "200 B", "candidates": 4, "replayed": 2}
        strategy = tiny_strategy(tiny_network(), [Moments(stop)], template=partial(_built, "mir", options))
        start = 0 if path is None else resume(path, strategy, benchmark, every_epochs=1)
        for experience in benchmark.train_stream[start:]:
            strategy.train(experience)
        return outcome_of(strategy)

    expected = run(None, StopAt("never"))
    with pytest.raises(StoppedError):
        run(tmp_path / "c", StopAt("after_training_epoch", 4))
    assert_same(run(tmp_path / "c", StopAt("never")), expected)


def _built(name: str, options: dict[str, Any], *, model: Any, optimizer: Any, **template: Any) -> Any:
    return find_strategy(name).build(model, optimizer, **options, **template)


def test_counted_spikes(tmp_path: Path) -> None:
    def run(path: Path, stop: StopAt) -> tuple[Any, Any]:
        metrics = spike_metrics(epoch=True, stream=True)
        strategy, benchmark = compose("naive", stop, evaluator=EvaluationPlugin(metrics, loggers=[Silence()]))
        for experience in benchmark.train_stream[resume(path, strategy, benchmark, every_epochs=1) :]:
            strategy.train(experience)
        return dict(strategy.evaluator.get_all_metrics()), [metric.result() for metric in metrics]

    alone = run(tmp_path / "alone", StopAt("never"))
    assert alone[1][0][""] > 0
    with pytest.raises(StoppedError):
        run(tmp_path / "c", StopAt("after_training_epoch", 5))
    assert run(tmp_path / "c", StopAt("never")) == alone
    assert run(tmp_path / "c", StopAt("never")) == alone  # nothing but loaded


class Hearer(BaseLogger):
    """A logger that counts what it hears, and from where on."""

    def __init__(self) -> None:
        super().__init__()
        self.n_epochs, self.at_first = 0, -1

    def before_training(self, *args: Any, **kwargs: Any) -> None:
        self.at_first = self.n_epochs if self.at_first < 0 else self.at_first

    def after_training_epoch(self, *args: Any, **kwargs: Any) -> None:
        self.n_epochs += 1

    def state_dict(self) -> dict[str, Any]:
        return {"n_epochs": self.n_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.n_epochs = state["n_epochs"]


def test_loggers_go_on_from_the_first_event(tmp_path: Path) -> None:
    def run(stop: StopAt) -> Hearer:
        hearer = Hearer()
        strategy, benchmark = compose("naive", stop, evaluator=EvaluationPlugin(loggers=[hearer]))
        for experience in benchmark.train_stream[resume(tmp_path / "c", strategy, benchmark, every_epochs=1) :]:
            strategy.train(experience)
        return hearer

    with pytest.raises(StoppedError):
        run(StopAt("before_training_iteration", 5))
    again = run(StopAt("never"))
    assert (again.at_first, again.n_epochs) == (2, 3 * EPOCHS)


def test_another_experience_than_the_one_to_go_on_with(tmp_path: Path) -> None:
    stopped("naive", tmp_path / "c", "after_training_epoch", EPOCHS + 1)
    strategy, benchmark = compose("naive")
    assert resume(tmp_path / "c", strategy, benchmark) == 1
    with pytest.raises(ValueError, match=r"goes on with experience 1, but experience 0 came: .*train_stream\[start:\]"):
        strategy.train(benchmark.train_stream[0])


def test_what_broke_off_does_not_overwrite_the_checkpoint(tmp_path: Path) -> None:
    strategy, benchmark = compose("naive", StopAt("before_training_iteration"))
    resume(tmp_path / "c", strategy, benchmark)
    with pytest.raises(StoppedError):
        strategy.train(benchmark.train_stream[0])
    content = (tmp_path / "c").read_bytes()
    with pytest.raises(ValueError, match=r"Training broke off .* compose the strategy anew, and call resume\(\)"):
        strategy.train(benchmark.train_stream[0])
    assert (tmp_path / "c").read_bytes() == content


@pytest.mark.parametrize("every", [0, -1])
def test_every_epochs_counts_from_one(every: int, tmp_path: Path) -> None:
    strategy, benchmark = compose("naive")
    with pytest.raises(ValueError, match="every_epochs must be 1 or more"):
        resume(tmp_path / "c", strategy, benchmark, every_epochs=every)
