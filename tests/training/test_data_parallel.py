"""Two processes learn what one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from parallel_run import MINIBATCH
from parallel_run import __file__ as script

from avalanche_snn.training import DataParallel


def outcome(path: Path, launcher: list[str], rank: str) -> dict[str, object]:
    done = subprocess.run([*launcher, script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return read(path, rank)


def read(path: Path, rank: str) -> dict[str, object]:
    found: dict[str, object] = torch.load(f"{path}-{rank}", weights_only=False)
    return found


def test_two_processes_have_the_gradients_and_so_the_weights_of_one(tmp_path: Path) -> None:
    alone = outcome(tmp_path / "one", [sys.executable], "alone")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    first = outcome(tmp_path / "two", torchrun, "0")
    second = read(tmp_path / "two", "1")
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


def test_a_minibatch_that_cannot_be_dealt_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avalanche_snn.training.data_parallel.n_processes", lambda: 3)
    with pytest.raises(ValueError, match=r"20 samples cannot be dealt out among 3 processes: .* multiple of 3"):
        DataParallel().before_train_dataset_adaptation(SimpleNamespace(train_mb_size=MINIBATCH))
