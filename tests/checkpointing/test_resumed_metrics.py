"""Avalanche's metrics in a run that is gone on with, pictures and live objects among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.evaluation import metrics as of_avalanche
from avalanche.evaluation.metric_results import AlternativeValues
from avalanche.training.plugins import EvaluationPlugin
from tiny_learners import K, Silence, seed_everything, tiny_benchmark, tiny_network, tiny_strategy

from avalanche_snn.checkpointing import resume
from avalanche_snn.checkpointing.metrics import _blank

SAME_EACH_TIME: dict[str, Callable[[], Any]] = {
    "confusion matrix": lambda: of_avalanche.confusion_matrix_metrics(num_classes=K, stream=True),
    "accuracy by class": lambda: of_avalanche.class_accuracy_metrics(epoch=True, experience=True, stream=True),
    "mean class accuracy": of_avalanche.amca_metrics,
    "backward transfer": lambda: of_avalanche.bwt_metrics(experience=True, stream=True),
}
OF_THE_MACHINE: dict[str, Callable[[], Any]] = {
    "processor": lambda: of_avalanche.cpu_usage_metrics(epoch=True, experience=True),
    "memory": lambda: of_avalanche.ram_usage_metrics(every=0.02, epoch=True, experience=True),
    "scores": of_avalanche.mean_scores_metrics,
    "labels": lambda: of_avalanche.labels_repartition_metrics(on_train=True, on_eval=True),
    "images": lambda: of_avalanche.images_samples_metrics(n_cols=2, n_rows=2, group=True, on_train=True),
}


def begun(metrics: Callable[[], Any], path: Path | None) -> tuple[Any, Any, int]:
    seed_everything()
    evaluator = EvaluationPlugin(metrics(), loggers=[Silence()])
    strategy, benchmark = tiny_strategy(tiny_network(), evaluator=evaluator), tiny_benchmark()
    return strategy, benchmark, 0 if path is None else resume(path, strategy, benchmark, every_epochs=1)


def learn(metrics: Callable[[], Any], path: Path | None = None, n_experiences: int = 3) -> Any:
    strategy, benchmark, start = begun(metrics, path)
    for experience in benchmark.train_stream[start:n_experiences]:
        strategy.train(experience)
        strategy.eval(benchmark.test_stream)
    return strategy.evaluator.get_all_metrics()


def numbers(value: Any) -> Any:
    """A result without its picture."""
    if isinstance(value, AlternativeValues):
        (value,) = (form for form in value.alternatives if isinstance(form, torch.Tensor))
    return value.tolist() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("metrics", SAME_EACH_TIME.values(), ids=SAME_EACH_TIME)
def test_results_are_those_of_a_run_that_was_not_interrupted(metrics: Callable[[], Any], tmp_path: Path) -> None:
    whole = learn(metrics)
    learn(metrics, tmp_path / "c", n_experiences=2)
    parts = learn(metrics, tmp_path / "c")
    assert list(parts) == list(whole)
    for name, (steps, values) in whole.items():
        assert parts[name][0] == steps
        assert [numbers(value) for value in parts[name][1]] == [numbers(value) for value in values], name


@pytest.mark.parametrize("metrics", OF_THE_MACHINE.values(), ids=OF_THE_MACHINE)
def test_what_holds_live_objects_goes_on(metrics: Callable[[], Any], tmp_path: Path) -> None:
    whole = learn(metrics)
    learn(metrics, tmp_path / "c", n_experiences=2)
    parts = learn(metrics, tmp_path / "c")
    assert {name: len(values) for name, (_, values) in parts.items()} == {
        name: len(values) for name, (_, values) in whole.items()
    }


@pytest.mark.parametrize("name", ["os:system", "avalanche.evaluation.metrics.mean:os", "avalanche.models:SimpleMLP"])
def test_a_file_can_have_nothing_made_but_metrics(name: str) -> None:
    with pytest.raises(ValueError, match="which is none of Avalanche's metrics"):
        _blank(name)
