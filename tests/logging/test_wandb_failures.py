"""W&B fails in every way that it can, and training does not notice."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
import torch
import wandb
from logged_learners import learn_and_test, logged_strategy, pictures, weights
from test_weights_and_biases import RASTER, Run, scalars
from tiny_learners import Silence, tiny_benchmark

from avalanche_snn.logging import WeightsAndBiasesLogger


def trained(loggers):
    strategy = logged_strategy(loggers, metrics=pictures())
    reports = learn_and_test(strategy, tiny_benchmark())
    return weights(strategy), [scalars(report) for report in reports]


@pytest.fixture(scope="module")
def expected():
    return trained([Silence()])


def assert_survives(logger, expected, *what):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        final_weights, reports = trained([logger])
        logger.log_raster("input", RASTER)
        logger.finish()
        logger.finish()
    messages = [str(warning.message) for warning in caught if "Weights & Biases" in str(warning.message)]
    assert len(messages) == 1
    for part in what:
        assert part in messages[0]
    assert torch.equal(final_weights, expected[0])
    assert reports == expected[1]
    assert logger.run is None


def failing_run(method, n_good):
    """A run of which one method works for a while."""
    run = Run(id=None)
    n_calls = 0
    working = getattr(run, method)

    def fail(*args, **kwargs):
        nonlocal n_calls
        n_calls += 1
        if n_calls > n_good:
            raise OSError(28, "No space left on device")
        return working(*args, **kwargs)

    setattr(run, method, fail)
    return run


@pytest.mark.parametrize(
    ("method", "n_good", "action"),
    [
        ("define_metric", 0, "log before_training"),
        ("log", 0, "log"),
        ("log", 20, "log"),
        ("log_artifact", 1, "log after_training_exp"),
        ("finish", 0, "finish the run"),
    ],
)
def test_a_run_that_fails(monkeypatch, expected, method, n_good, action):
    run = failing_run(method, n_good)
    monkeypatch.setattr(wandb, "init", lambda **options: run)
    logger = WeightsAndBiasesLogger(log_model=True)
    assert_survives(logger, expected, f"could not {action}", "OSError", "No space left on device", "Training goes on")


def test_a_configuration_that_is_refused(monkeypatch, expected):
    def refuse(settings, allow_val_change):
        raise TypeError("not this")

    run = Run(id=None)
    run.config.update = refuse
    monkeypatch.setattr(wandb, "init", lambda **options: run)
    assert_survives(WeightsAndBiasesLogger(), expected, "could not log before_training", "TypeError: not this")


def test_a_run_that_does_not_start(monkeypatch, expected):
    def refuse(**options):
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr(wandb, "init", refuse)
    assert_survives(WeightsAndBiasesLogger(), expected, "could not log before_training", "CommError", "no network")


def test_no_account(monkeypatch, expected):
    """W&B itself, which wants a key that is not there."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert_survives(WeightsAndBiasesLogger(mode="online"), expected, "could not log before_training")


def test_a_folder_that_cannot_be_written(tmp_path, expected):
    (tmp_path / "file").write_text("")
    logger = WeightsAndBiasesLogger(dir=tmp_path / "file" / "runs", mode="offline")
    assert_survives(logger, expected, "could not log before_training", "NotADirectoryError")


def test_what_comes_after_the_end_is_told_once(monkeypatch):
    monkeypatch.setattr(wandb, "init", lambda **options: Run(**options))
    logger = WeightsAndBiasesLogger()
    logger.log_raster("input", RASTER)
    logger.finish()
    with pytest.warns(RuntimeWarning, match="the run is finished"):
        logger.log_raster("input", RASTER)
    logger.log_raster("input", RASTER)  # a second warning would be an error here


@pytest.mark.slow
def test_a_service_that_dies(tmp_path, expected):
    """W&B's own process, killed in the midst of a run: in a script of its own, for that process serves all runs."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys\n"
        "import psutil\n"
        "from logged_learners import learn_and_test, logged_strategy, weights\n"
        "from tiny_learners import tiny_benchmark\n"
        "from avalanche_snn.logging import WeightsAndBiasesLogger\n"
        "logger = WeightsAndBiasesLogger(dir=sys.argv[1], mode='offline')\n"
        "strategy = logged_strategy([logger])\n"
        "benchmark = tiny_benchmark()\n"
        "learn_and_test(strategy, benchmark, epochs=(1,))\n"
        "children = [c for c in psutil.Process().children() if 'wandb' in c.name()]\n"
        "assert len(children) == 1, children\n"
        "children[0].kill()\n"
        "learn_and_test(strategy, benchmark)\n"
        "logger.finish()\n"
        "print('trained', strategy.clock.train_exp_counter)\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "trained 4" in done.stdout
    assert done.stderr.count("RuntimeWarning: Weights & Biases could not") == 1
