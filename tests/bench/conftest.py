from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from benchmarks import style
from benchmarks.plans import make_plan
from benchmarks.settings import RunPlan


@pytest.fixture(scope="session")
def generated(generated_words: Path) -> str:
    """Folder in which the generated words of these tests are kept."""
    return str(generated_words)


@pytest.fixture
def small_plan(generated: str) -> Callable[..., RunPlan]:
    """Make plans of runs that take seconds."""

    def make(benchmark: str, strategy: str, **changes: Any) -> RunPlan:
        stream = {"dataset_root": generated, "n_samples_per_class": 36, "n_time_steps": 20, "n_channels": 70}
        network = {"hidden": [24, 16], "surrogate": "fast_sigmoid/10", "readout": "mean"}
        training = {"first_epochs": 2, "epochs": 1, "minibatch": 32}
        given = {"data": "synthetic", "stream": stream, "network": network, "training": training, **changes}
        return make_plan(benchmark, strategy, **given)

    return make


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "networks"


@pytest.fixture
def hearing_interrupts() -> Iterator[None]:
    """Let processes that are started hear Ctrl-C, which a shell tells its background jobs to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Figures by the names of their files, none of which is written."""
    figures: dict[str, Figure] = {}

    def keep(figure: Figure, path: Path) -> Path:
        figures[path.name] = figure
        return path

    monkeypatch.setattr(style, "save", keep)
    return figures
