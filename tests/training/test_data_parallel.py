"""Two processes learn what one does."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from parallel_run import MINIBATCH, go_on, train
from parallel_run import __file__ as script
from tiny_learners import tiny_benchmark, tiny_network, tiny_strategy

from avalanche_snn.training import CompressedLatentReplayPlugin, DataParallel

Outcome = dict[str, Any]
forked = pytest.mark.skipif(torch.cuda.is_available(), reason="processes are forked, which CUDA does not survive")


def in_a_process(run: Callable[..., None], variables: dict[str, str], arguments: tuple[Any, ...]) -> None:
    os.environ.update(variables)
    run(*arguments)


def start(variables: dict[str, str], run: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=in_a_process, args=(run, variables, arguments))
    process.start()
    return process


def in_two(run: Callable[..., None], path: Path, *more: Any) -> None:
    """Have two processes do something, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [start({**common, "RANK": rank, "LOCAL_RANK": rank}, run, str(path), *more) for rank in "01"]
    for process in processes:
        process.join(120)
    ended = [process.exitcode for process in processes]
    for process in processes:
        process.kill()  # one that waits for another which has failed
    assert ended == [0, 0]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What one process comes to."""
    path = tmp_path_factory.mktemp("alone") / "outcome"
    start({}, train, str(path)).join()
    return read(path, "alone")


def read(path: Path, rank: str) -> Outcome:
    found: Outcome = torch.load(f"{path}-{rank}", weights_only=False)
    return found


def assert_same(first: Outcome, second: Outcome, alone: Outcome) -> None:
    for name, tensor in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], tensor, rtol=1e-9, atol=1e-11, msg=name)
        assert torch.equal(first["weights"][name], second["weights"][name]), name
    assert first["shift"] == pytest.approx(alone["shift"])
    assert alone["shift"] != 0
    assert alone["accuracy"] == first["accuracy"] == second["accuracy"]
    for label, samples in alone["exemplars"].items():
        for one, other, another in zip(samples, first["exemplars"][label], second["exemplars"][label], strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one, another)


@forked
def test_two_processes_have_the_gradients_and_so_the_weights_of_one(alone: Outcome, tmp_path: Path) -> None:
    in_two(train, tmp_path / "two")
    assert_same(read(tmp_path / "two", "0"), read(tmp_path / "two", "1"), alone)


@forked
def test_every_epoch_deals_out_all_samples_in_an_order_of_its_own(tmp_path: Path) -> None:
    in_two(go_on, tmp_path / "a", 0)
    in_two(go_on, tmp_path / "b", 1)
    first, second, other = (read(tmp_path / name, rank) for name, rank in (("a", "0"), ("a", "1"), ("b", "0")))
    for number, epochs in enumerate(zip(first["epochs"], second["epochs"], strict=True)):
        n_samples = 12 if number < 3 else 18  # two new classes; and then the exemplars
        assert len(set(epochs[0]) | set(epochs[1])) == n_samples
        assert len(epochs[0]) == len(epochs[1]) == n_samples // 2
    assert first["epochs"][0] != first["epochs"][1] != first["epochs"][2]
    assert first["epochs"] != other["epochs"], "another seed, another order"
    assert not set(first["draws"]) & set(second["draws"]), "processes do not draw the same"


@forked
def test_two_processes_go_on_from_one_checkpoint(tmp_path: Path) -> None:
    in_two(go_on, tmp_path / "whole")
    in_two(go_on, tmp_path / "parts", 0, 5)  # within the second experience, which has a teacher
    assert [path.name for path in tmp_path.glob("parts*")] == ["parts.checkpoint"]
    in_two(go_on, tmp_path / "parts")
    for rank in "01":
        whole, parts = read(tmp_path / "whole", rank), read(tmp_path / "parts", rank)
        assert whole["epochs"] == parts["epochs"] if rank == "0" else whole["epochs"][-1] == parts["epochs"][-1]
        for name, tensor in whole["weights"].items():
            assert torch.equal(tensor, parts["weights"][name]), name

    alone = start({}, go_on, str(tmp_path / "parts"))
    alone.join()
    assert alone.exitcode == 1, "a checkpoint of two processes is none of one"


@pytest.mark.slow
def test_torchrun_starts_them(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    for n_processes in ("1", "2"):
        command = [*torchrun, n_processes, script, str(tmp_path / n_processes)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert_same(read(tmp_path / "2", "0"), read(tmp_path / "2", "1"), read(tmp_path / "1", "0"))


def test_a_minibatch_that_cannot_be_dealt_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avalanche_snn.training.data_parallel.n_processes", lambda: 3)
    with pytest.raises(ValueError, match=r"20 samples cannot be dealt out among 3 processes: .* multiple of 3"):
        DataParallel().before_train_dataset_adaptation(SimpleNamespace(train_mb_size=MINIBATCH))


def test_in_one_process_it_does_nothing() -> None:
    replay = CompressedLatentReplayPlugin("hidden1", "300 B")
    strategy, benchmark = tiny_strategy(tiny_network(), [DataParallel(), replay]), tiny_benchmark()
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[])
        assert strategy.train_mb_size == 8


def test_latent_replay_in_several_processes_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("avalanche_snn.training.replay_settings.n_processes", lambda: 2)
    strategy = tiny_strategy(tiny_network(), [CompressedLatentReplayPlugin("hidden1", "300 B")])
    with pytest.raises(ValueError, match="Latent replay learns in one process, but this is one of 2"):
        strategy.train(tiny_benchmark().train_stream[0])
