"""The main job on real SHD, with a small network and coarse rasters: naive training forgets, latent replay does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.plans import make_plan
from benchmarks.runner import run

DATA = Path(os.environ.get("AVALANCHE_SNN_DATA", ""))
needs_shd = pytest.mark.skipif(
    not (DATA / "SHD" / "shd_train.h5").exists(), reason="no SHD/shd_train.h5 in the folder AVALANCHE_SNN_DATA"
)


@pytest.mark.slow
@needs_shd
def test_naive_forgets_and_compressed_latent_replay_does_not(tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "stream": {"n_time_steps": 50, "n_channels": 140},
        "network": {"hidden": [128, 64], "surrogate": "fast_sigmoid/10", "readout": "mean"},
        "training": {"first_epochs": 6, "epochs": 3, "first_learning_rate": 5e-3, "learning_rate": 5e-3},
    }
    naive = run(make_plan("class_incremental", "naive", **small), tmp_path, cache=tmp_path)
    replayed = run(
        make_plan(
            "class_incremental",
            "compressed_latent_replay",
            options={"after": "hidden1", "memory": "160 kB", "codec": "rice"},
            **small,
        ),
        tmp_path,
        cache=tmp_path,
    )
    assert naive["data_name"] == replayed["data_name"] == "SHD"
    before = naive["accuracy_matrix"][0][0]
    assert before == replayed["accuracy_matrix"][0][0] > 0.6, "19 words learned, by the same network"
    assert naive["accuracy_matrix"][1][0] < before / 2
    assert replayed["accuracy_matrix"][1][0] > before - 0.1
    assert replayed["accuracy_matrix"][1][1] > 0.5, "the new word is learned as well"
    assert 0 < replayed["memory_bytes"] <= 160_000
