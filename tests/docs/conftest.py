from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def reader(tmp_path: Path, generated_words: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder: empty, current, and with no account at Weights & Biases."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVALANCHE_SNN_DATA", str(generated_words))
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    return tmp_path
