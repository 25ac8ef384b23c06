"""Saving and loading between experiences, and what is refused: by its kind, or for its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.evaluation import PluginMetric
from avalanche.training.plugins import EvaluationPlugin, MIRPlugin
from avalanche.training.supervised import DER, Naive
from checkpointed_runs import EPOCHS, LATER_EPOCHS, Moments, assert_same, compose, nothing, outcome_of
from test_resume import StopAt, StoppedError, stopped
from tiny_learners import Silence, tiny_network, tiny_strategy

from avalanche_snn.checkpointing import load, resume, save
from avalanche_snn.checkpointing.plain import plain_copy
from avalanche_snn.training import CompressedLatentReplayPlugin


class Counter(SupervisedPlugin):
    """A plugin that says nothing of its state."""


class Curve(PluginMetric[float]):
    """A metric that says nothing of its state."""

    def result(self) -> float:
        return 0.0

    def reset(self) -> None:
        pass


def learn(strategy: Any, stream: Any) -> None:
    for experience in stream:
        strategy.train(experience)
        strategy.train_epochs = LATER_EPOCHS
        strategy.eval(experience)


@pytest.mark.parametrize("name", ["herding", "cumulative", "cope", "der", "gdumb", "icarl", "lwf", "streaming_lda"])
def test_loaded_is_as_saved_and_goes_on_alike(name: str, tmp_path: Path) -> None:
    strategy, benchmark = compose(name)
    learn(strategy, benchmark.train_stream[:2])
    save(tmp_path / "c", strategy, benchmark)
    learn(strategy, benchmark.train_stream[2:])
    expected = outcome_of(strategy)
    other, benchmark = compose(name)
    assert load(tmp_path / "c", other, benchmark) == 2
    assert other.train_epochs == LATER_EPOCHS
    learn(other, benchmark.train_stream[2:])
    assert_same(outcome_of(other), expected)


def test_load_within_an_experience_is_where_the_experience_began(tmp_path: Path) -> None:
    strategy, benchmark = compose("rice")
    learn(strategy, benchmark.train_stream[:1])
    expected = {name: tensor.clone() for name, tensor in strategy.model.state_dict().items()}

    strategy, benchmark = compose("rice", StopAt("after_training_epoch", EPOCHS + 2))
    resume(tmp_path / "c", strategy, benchmark, every_epochs=1)
    with pytest.raises(StoppedError):
        learn(strategy, benchmark.train_stream)
    other, benchmark = compose("rice")
    assert load(tmp_path / "c", other, benchmark) == 1
    assert_same(dict(other.model.state_dict()), expected)


def test_what_save_wrote_is_loaded_not_resumed(tmp_path: Path) -> None:
    strategy, benchmark = compose("naive")
    save(tmp_path / "c", strategy, benchmark)
    with pytest.raises(ValueError, match=r"written by save\(\): load\(\) it"):
        resume(tmp_path / "c", strategy, benchmark)


def test_save_wants_a_strategy_that_is_not_training(tmp_path: Path) -> None:
    def save_now(moment: str) -> None:
        if moment == "before_training_epoch":
            save(tmp_path / "c", strategy, benchmark)

    strategy, benchmark = compose("naive", save_now)
    with pytest.raises(ValueError, match="between two calls of train or eval"):
        strategy.train(benchmark.train_stream[0])


def test_a_missing_file(tmp_path: Path) -> None:
    strategy, benchmark = compose("naive")
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        load(tmp_path / "c", strategy, benchmark)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plugins": [MIRPlugin(5)]}, r"The plugin MIRPlugin cannot be saved.*give it state_dict\(\)"),
        ({"plugins": [Counter()]}, r"The plugin Counter cannot be saved.*and load_state_dict\(state\)"),
        ({"evaluator": EvaluationPlugin(Curve(), loggers=[Silence()])}, "The metric Curve cannot be saved"),
    ],
)
def test_what_does_not_say_its_state_is_named_before_training(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    strategy, benchmark = compose("naive", **changes)
    with pytest.raises(TypeError, match=message):
        resume(tmp_path / "c", strategy, benchmark)


def test_templates_that_keep_something_are_named(tmp_path: Path) -> None:
    _, benchmark = compose("naive")
    with pytest.raises(TypeError, match="The strategy DER cannot be saved"):
        resume(tmp_path / "c", tiny_strategy(tiny_network(), template=DER, mem_size=5), benchmark)
    strategy, benchmark = compose("cumulative", plugins=[CompressedLatentReplayPlugin("hidden1")])
    with pytest.raises(TypeError, match="Cumulative with a CompressedLatentReplayPlugin cannot be saved"):
        resume(tmp_path / "c", strategy, benchmark)


def test_a_state_that_is_no_plain_data_is_named(tmp_path: Path) -> None:
    strategy, benchmark = compose("naive")
    strategy.plugins[0].state_dict = lambda: {"seen": [{1, 2}]}
    with pytest.raises(TypeError, match=r"tensors, numbers, .* the state of Moments\['seen'\]\[0\] is a set"):
        resume(tmp_path / "c", strategy, benchmark)
    with pytest.raises(TypeError, match=r"also\['data'\] must have state_dict\(\).* a list came"):
        save(tmp_path / "c", compose("naive")[0], benchmark, also={"data": []})


def test_a_strategy_that_says_its_state(tmp_path: Path) -> None:
    class Counting(Naive):
        count = 0

        def state_dict(self) -> dict[str, Any]:
            return {"count": self.count}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.count = state["count"]

    _, benchmark = compose("naive")
    strategy, other = (tiny_strategy(tiny_network(), template=Counting) for _ in range(2))
    strategy.count = 7
    save(tmp_path / "c", strategy, benchmark)
    load(tmp_path / "c", other, benchmark)
    assert other.count == 7


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"lr": 0.5}, r"optimizer\.lr: 0\.02 in the file, 0\.5 now"),
        ({"data_seed": 2}, r"benchmark\.train stream\.experience 0: 10 samples, \w+ in the file, 10 samples, \w+ now"),
        ({"train_epochs": 9}, r"begun with\.train_epochs: 3 in the file, 9 now"),
        ({"codec": "bits"}, r"plugins\.0\.codec: rice in the file, bits now"),
        ({"memory": "500 B"}, r"plugins\.0\.memory: 300 in the file, 500 now"),
        ({"seed": 8}, r"plugins\.0\.seed: 0 in the file, 8 now"),
        (
            {"criterion": torch.nn.CrossEntropyLoss()},
            r"strategy\.loss: .*SeenClassesCrossEntropy in the file, CrossEntropyLoss\(\) now",
        ),
        ({"plugins": [Moments(nothing)]}, r"plugins\.2\.class: .*LRSchedulerPlugin in the file, .*SeenClasses\w+ now"),
        (
            {"hidden": (9, 8)},
            r"model\.hidden2\.linear\.weight \(tensor\): float32 \[7, 9\] in the file, float32 \[8, 9\] now",
        ),
    ],
)
def test_another_configuration_is_spelled_out(changes: dict[str, Any], difference: str, checkpoint: Path) -> None:
    strategy, benchmark = compose("rice", **changes)
    content = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=f"(?s)run of another configuration:.*  {difference}"):
        resume(checkpoint, strategy, benchmark)
    assert checkpoint.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "changes", "difference"),
    [
        ("replay_balanced", {"memory": "300 B"}, r"plugins\.1\.buffer memory: 230 in the file, 300 now"),
        ("der", {"logits_weight": 0.5}, r"strategy\.logits weight: 0\.3 in the file, 0\.5 now"),
        ("bic", {"temperature": 3.0}, r"plugins\.0\.temperature: 2\.0 in the file, 3\.0 now"),
        ("lwf", {"temperature": 3.0}, r"plugins\.0\.temperature: 2\.0 in the file, 3\.0 now"),
        ("streaming_lda", {"shrinkage": 0.5}, r"strategy\.shrinkage: 0\.0001 in the file, 0\.5 now"),
    ],
)
def test_options_of_strategies_are_part_of_the_configuration(
    name: str, changes: dict[str, Any], difference: str, tmp_path: Path
) -> None:
    save(tmp_path / "c", *compose(name))
    with pytest.raises(ValueError, match=f"(?s)run of another configuration:.*  {difference}"):
        load(tmp_path / "c", *compose(name, **changes))


def test_another_strategy_and_other_versions(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, benchmark = compose("cumulative")
    with pytest.raises(ValueError, match=r"strategy\.class: .*Naive in the file, .*Cumulative now"):
        resume(checkpoint, strategy, benchmark)
    monkeypatch.setattr("avalanche_snn.checkpointing.configuration.version", lambda name: f"{name} of tomorrow")
    strategy, benchmark = compose("rice")
    with pytest.raises(ValueError, match=r"versions\.torch: .* in the file, torch of tomorrow now"):
        resume(checkpoint, strategy, benchmark)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rice") / "c"
    stopped("rice", path, "before_training_iteration")
    return path


def test_looking_at_the_configuration_draws_nothing(tmp_path: Path) -> None:
    strategy, benchmark = compose("rice")
    before = torch.get_rng_state()
    resume(tmp_path / "c", strategy, benchmark)
    assert torch.equal(torch.get_rng_state(), before)


def test_plain_copies_share_nothing() -> None:
    tensor, numbers = torch.arange(4.0, requires_grad=True), [1, 2]
    copied = plain_copy({"view": tensor[:2], "numbers": numbers, 3: (None, b"x", torch.float32.itemsize)}, "it")
    numbers.append(3)
    with torch.no_grad():
        tensor.zero_()
    assert copied["view"].tolist() == [0.0, 1.0]
    assert copied["view"].untyped_storage().nbytes() == 8
    assert not copied["view"].requires_grad
    assert copied["numbers"] == [1, 2]
    assert copied[3] == (None, b"x", 4)
