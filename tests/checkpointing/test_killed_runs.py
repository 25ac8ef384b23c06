"""Runs that are killed and started again: the outcome is that of a run that was left alone, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpointed_runs import assert_same, live

TESTS = Path(__file__).parents[1]
# One of each way to keep something: latents, importances, exemplars with and without logits, networks, class means.
KILLED = (
    *("naive", "joint", "cumulative", "replay", "rice", "herding", "online_ewc", "replay_balanced", "replay_herding"),
    *("gdumb", "mir", "er_ace", "der_plus_plus", "agem", "gem", "lwf", "bic", "icarl", "cope", "cwr_star"),
)
WRITING = ("half written", "written", "before renaming", "renamed")


def uninterrupted(name: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    folder.mkdir()
    outcome = live(name, folder)
    assert outcome is not None
    return outcome, outcome.pop("moments")


def test_killed_in_training_and_while_writing(tmp_path: Path) -> None:
    expected, moments = uninterrupted("rice", tmp_path / "alone")
    chance = random.Random(1)
    assert live("rice", tmp_path, ("after_backward", chance.randrange(moments.count("after_backward")))) is None
    assert live("rice", tmp_path, ("half written", 1)) is None
    assert list(tmp_path.glob(".run.checkpoint.*.partial"))
    outcome = live("rice", tmp_path)
    assert outcome is not None
    assert len(outcome.pop("moments")) < len(moments)
    assert_same(outcome, expected)
    assert not list(tmp_path.glob(".run.checkpoint.*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_killed_again_and_again(name: str, tmp_path: Path) -> None:
    """Each strategy is killed six times: every other time while a file is written."""
    expected, moments = uninterrupted(name, tmp_path / "alone")
    chance = random.Random(name)
    often = Counter(moments)
    n_killed = 0
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        for kind in (sorted(set(moments) - set(WRITING)), WRITING):
            moment = chance.choice(kind)
            n_killed += live(name, folder, (moment, chance.randrange(max(1, often[moment] // 2)))) is None
        outcome = live(name, folder)
        assert outcome is not None
        del outcome["moments"]
        assert_same(outcome, expected)
    assert n_killed >= 5


@pytest.mark.slow
def test_interpreters_killed_at_any_time(tmp_path: Path) -> None:
    """New interpreters, killed from outside between any two instructions."""
    expected, _ = uninterrupted("rice", tmp_path / "alone")
    command = [sys.executable, str(Path(__file__).with_name("checkpointed_runs.py")), "rice", str(tmp_path)]
    folders = [str(TESTS.parent), str(TESTS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    chance = random.Random(2)
    for _ in range(6):
        process = subprocess.Popen(command, env=environment, cwd=TESTS.parent)
        checkpoint = tmp_path / "run.checkpoint"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        # Once it writes: before that it imports, which takes most of its life.
        while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.002)
        time.sleep(chance.random() * 0.2)
        process.kill()
        if process.wait() != -signal.SIGKILL:
            break
    subprocess.run(command, env=environment, cwd=TESTS.parent, check=True, timeout=120)
    outcome = torch.load(tmp_path / "outcome", weights_only=True)
    del outcome["moments"]
    assert_same(outcome, expected)
