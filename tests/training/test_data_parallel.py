"""Two processes learn what one does."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from parallel_run import MINIBATCH, train
from parallel_run import __file__ as script

from avalanche_snn.training import DataParallel

Outcome = dict[str, Any]


def train_in_a_process(path: str, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    train(path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What one process comes to."""
    path = tmp_path_factory.mktemp("alone") / "outcome"
    start({}, path).join()
    return read(path, "alone")


def start(variables: dict[str, str], path: Path) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=train_in_a_process, args=(str(path), variables))
    process.start()
    return process


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="processes are forked, which CUDA does not survive")
def test_two_processes_have_the_gradients_and_so_the_weights_of_one(alone: Outcome, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [start({**common, "RANK": rank, "LOCAL_RANK": rank}, tmp_path / "two") for rank in "01"]
    for process in processes:
        process.join(120)
    ended = [process.exitcode for process in processes]
    for process in processes:
        process.kill()  # one that waits for another which has failed
    assert ended == [0, 0]
    assert_same(read(tmp_path / "two", "0"), read(tmp_path / "two", "1"), alone)


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
