"""Runs on CIFAR-100, on small files of its form: every method, going on after an interruption, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_cifar100 import write_small_cifar100

from benchmarks.cli import main
from benchmarks.images import runner
from benchmarks.images.configurations import CONFIGURATIONS, METHODS, ImageConfiguration

TINY = ImageConfiguration(
    "two steps of two classes",
    {"n_steps": 2, "n_classes": 4},
    {"network": "narrow", "n_time_steps": 1, "width": 0.25},
    epochs=2,
    second_stage_epochs=2,
    head_reset_epoch=1,
    n_exemplars=6,
    minibatch=6,
)
OF_THE_OCCASION = ("seconds", "resumed")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small_cifar100(tmp_path_factory.mktemp("data")))


def carry_out(method: str, root: str, folder: Path) -> dict[str, Any]:
    return runner.run_images(
        "tiny", TINY, method, results=folder / "results", checkpoints=folder / "checkpoints", root=root
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_a_record(method: str, root: str, tmp_path: Path) -> None:
    record = carry_out(method, root, tmp_path)
    assert json.loads((tmp_path / "results" / f"tiny-{method}-order0-seed0.json").read_text()) == record
    assert [len(row) for row in record["accuracy_matrix"]] == [2, 2]
    assert record["accuracy_matrix"][0][1] == 0  # classes that have not come
    (first, _), (a, b) = record["accuracy_matrix"]
    assert record["average_incremental_accuracy"] == pytest.approx((first + (a + b) / 2) / 2)
    assert record["final_accuracy"] == pytest.approx((a + b) / 2)
    samples = 6 * (3072 + 1)  # as they are, or in a code that is shorter, and a label
    assert record["memory_bytes"] > 0.8 * samples
    assert (record["memory_bytes"] > samples) == (METHODS[method].expand or method == "wa")
    assert not list((tmp_path / "checkpoints").iterdir())
    assert carry_out(method, root, tmp_path) == record  # it is not repeated


def test_an_interrupted_run_goes_on_to_the_same_record(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = carry_out("alade", root, tmp_path / "alone")
    monkeypatch.setattr(runner, "_CHECKPOINT_EVERY", 1)
    epochs = []

    def die(self: object, strategy: Any, *args: object, **kwargs: object) -> None:
        epochs.append(strategy.clock.train_exp_counter)
        if len(epochs) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner._Bar, "after_training_epoch", die)
        with pytest.raises(KeyboardInterrupt):
            carry_out("alade", root, tmp_path / "again")
    assert epochs == [0, 0, 1, 1]
    gone_on = carry_out("alade", root, tmp_path / "again")
    assert gone_on["resumed"]
    for name, value in alone.items():
        assert name in OF_THE_OCCASION or gone_on[name] == value, name


def test_what_was_not_run_is_measured(root: str, tmp_path: Path) -> None:
    record = runner.measure_images("tiny", TINY, results=tmp_path, root=root)
    assert record["not_run"]
    assert len(record["step_seconds"]) == 2
    assert all(seconds > 0 for seconds in record["step_seconds"])
    assert record["peak_bytes"] > 1e6
    assert (tmp_path / "tiny-not_run.json").exists()


def test_the_command(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVALANCHE_SNN_DATA", root)
    monkeypatch.setattr(
        "benchmarks.images.command.CONFIGURATIONS", {**CONFIGURATIONS, "small": replace(TINY, epochs=1)}
    )
    folders = ["--results", str(tmp_path), "--checkpoints", str(tmp_path / "c"), "--device", "cpu"]
    n_threads = torch.get_num_threads()
    try:
        assert main(["images", "small", "--method", "replay", "--class-order", "0", "1", *folders]) == 0
        assert main(["images", "small", "--measure", *folders]) == 0
    finally:
        torch.set_num_threads(n_threads)
    said = capsys.readouterr().out
    assert "small, replay of herded exemplars, class order 1: average incremental accuracy" in said
    assert "s a step of 6 images with one extractor" in said
    assert len(list((tmp_path / "images").glob("small-replay-order*.json"))) == 2


def test_the_published_configurations_are_the_publication_s() -> None:
    b0 = CONFIGURATIONS["b0-10"]
    assert (b0.epochs, b0.second_stage_epochs, b0.head_reset_epoch, b0.n_exemplars) == (170, 30, 10, 2000)
    assert (b0.minibatch, b0.learning_rate, b0.network) == (64, 0.1, {"network": "resnet19"})
    b50 = CONFIGURATIONS["b50-10"]
    assert (b50.n_exemplars, b50.n_exemplars_per_class) == (None, 20)
