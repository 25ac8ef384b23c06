"""The README's Python runs as printed, on a small file in SHD's own format."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_cifar100 import N_TRAIN, write_small_cifar100
from small_shd import small_samples, write_shd

from avalanche_snn.benchmarks import CIFAR100Incremental
from avalanche_snn.logging import read_json_lines

README = Path(__file__).parents[1] / "README.md"
COMPOSE, SPARSE, COMPARE, GROW, LOG, RESUME, KERNELS = re.findall(
    r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL
)


@pytest.fixture
def small_shd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two training samples and one test sample of each class, at random, where `SHD` looks for its files."""
    labels = np.arange(20, dtype=np.uint16)
    write_shd(tmp_path, small_samples(40), labels=np.tile(labels, 2), speakers=np.repeat([0, 1], 20))
    write_shd(tmp_path, small_samples(20, seed=1), split="test", labels=labels, speakers=np.repeat([0, 4], 10))
    monkeypatch.setenv("AVALANCHE_SNN_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def after_the_first_block(small_shd: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    said: list[tuple[Any, ...]] = []
    names: dict[str, Any] = {"print": lambda *words: said.append(words)}
    exec(COMPOSE.replace("train_epochs=40", "train_epochs=2").replace("train_epochs = 10", "train_epochs = 1"), names)
    assert said == [(40, "exemplars in", 40 * 250 + 20 * 24, "bytes")]
    return names


def test_the_script_that_composes_a_strategy(after_the_first_block: dict[str, Any]) -> None:
    strategy, replay = after_the_first_block["strategy"], after_the_first_block["replay"]
    assert strategy.clock.train_exp_counter == 2
    # 20 x 100 bits are 250 bytes; 40 of them, and three numbers of 8 bytes for each of 20 classes.
    assert replay.memory.nbytes == 40 * 250 + 20 * 24
    assert strategy.model.front_is_frozen


def test_the_configuration_behind_the_first_table(after_the_first_block: dict[str, Any]) -> None:
    names = dict(after_the_first_block)
    exec(SPARSE.replace("train_epochs=30", "train_epochs=1").replace("= 10, 64", "= 1, 64"), names)
    strategy, replay = names["strategy"], names["replay"]
    assert strategy.clock.train_exp_counter == 11
    assert 0 < replay.memory.nbytes <= 16_000
    assert replay.memory.counts.keys() == {(label, 0) for label in range(20)}
    assert strategy.optimizer.param_groups[0]["lr"] == 2e-3


def test_the_kernels_that_run_here_and_the_one_in_use(after_the_first_block: dict[str, Any]) -> None:
    said: list[Any] = []
    exec(KERNELS, {**after_the_first_block, "print": said.append})
    reasons, in_use = said
    assert list(reasons) == ["triton", "cpp", "torch", "reference"]
    assert in_use == next(name for name, reason in reasons.items() if reason is None)


def test_the_same_beside_other_plugins_under_an_evaluator(
    after_the_first_block: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    names = after_the_first_block
    exec(COMPARE, names)
    model = names["RecurrentSNN"](time_pooling={"hidden2": "any/5"}, seed=1)
    strategy = names["Naive"](
        model=model,
        optimizer=torch.optim.Adamax(model.parameters()),
        train_mb_size=64,
        eval_mb_size=256,
        plugins=names["plugins"],
        evaluator=names["evaluator"],
    )
    for experience in names["benchmark"].train_stream:
        strategy.train(experience)
        metrics = strategy.eval(names["benchmark"].test_stream)
    assert any(name.startswith("StreamForgetting") for name in metrics)
    kept = metrics["MemoryBytes/train_phase/train_stream/Exp001"]
    n_weights = sum(parameter.numel() for parameter in model.parameters())
    assert kept > 4 * n_weights, "the old network of LwF alone has as many bytes"
    assert model.front_is_frozen
    assert "MemoryBytes" in capsys.readouterr().out
    stream = "/eval_phase/test_stream/Task000"
    assert metrics[f"Spikes_Stream{stream}/hidden3"] == 0, "two epochs on random spikes leave it silent"
    acs, macs = metrics[f"EffectiveACs_Stream{stream}"], metrics[f"EffectiveMACs_Stream{stream}"]
    assert metrics[f"Energy_Stream{stream}"] == pytest.approx(acs * 0.9e-12 + macs * 4.6e-12)
    assert acs > 0


def test_a_network_that_grows(tmp_path: Path) -> None:
    names: dict[str, Any] = {"torch": torch}
    # A few classes and one epoch: what is checked is that it learns as printed.
    exec(GROW.replace("n_classes=100", "n_classes=4").replace("train_epochs=170", "train_epochs=1"), names)
    strategy = names["strategy"]
    benchmark = CIFAR100Incremental(2, n_classes=4, dataset_root=write_small_cifar100(tmp_path))
    for experience in benchmark.train_stream:
        strategy.train(experience)
    assert len(strategy.model.extractors) == 2
    assert len(strategy.exemplars) == 4 * N_TRAIN


def test_logging_to_weights_and_biases(
    after_the_first_block: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    names = after_the_first_block
    exec(COMPARE, names)
    exec(LOG, names)
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    until = time.monotonic() + 30
    # wandb's own process writes the file, now and then a little after `finish` has returned.
    while b"MemoryBytes" not in log.read_bytes() and time.monotonic() < until:
        time.sleep(0.2)
    assert b"MemoryBytes" in log.read_bytes()
    lines = read_json_lines(tmp_path / "run.jsonl")
    tested = [line["current_experience"] for line in lines if line.get("name", "").startswith("Top1_Acc_Exp/eval")]
    assert set(tested) == {0, 1}


def test_a_script_goes_on_where_it_was(
    after_the_first_block: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = after_the_first_block

    def strategy() -> Any:
        torch.manual_seed(3)
        model = names["RecurrentSNN"](time_pooling={"hidden2": "any/5"}, seed=1)
        return names["Naive"](
            model=model,
            optimizer=torch.optim.Adamax(model.parameters()),
            train_mb_size=64,
            eval_mb_size=256,
            plugins=[names["CompressedLatentReplayPlugin"]("hidden2", "16 kB")],
        )

    first, second = strategy(), strategy()
    for again in (first, second):
        exec(RESUME.replace("train_epochs = 10", "train_epochs = 1"), {**names, "strategy": again})
    assert second.clock.train_exp_counter == 2
    for name, weights in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], weights)
