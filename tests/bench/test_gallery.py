"""The gallery of rasters, on generated data."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from avalanche_snn.spikes import rice_bytes
from benchmarks.gallery import make_gallery, plot_gallery


def test_the_rasters_of_a_sample_go_together(generated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALANCHE_SNN_DATA", generated)
    content = make_gallery("synthetic", tmp_path / "gallery.json", quick=True, networks=tmp_path)
    assert len(content["samples"]) == 3
    for sample in content["samples"]:
        given, latent, kept, restored = sample["panels"]
        assert (given["n_rows"], latent["n_rows"], kept["n_rows"]) == (70, 48, 48)
        assert (given["n_steps"], latent["n_steps"], kept["n_steps"], restored["n_steps"]) == (50, 50, 10, 50)
        spikes = torch.zeros(1, 50, 48, dtype=torch.uint8)
        spikes[0, latent["steps"], latent["rows"]] = 1
        assert (latent["bytes"], kept["bytes"]) == (int(rice_bytes(spikes)), 10 * 6)
        assert len(given["steps"]) / 8 < given["bytes"] < 50 * 70 * 8 / 8
        assert given["steps"]
        windows = {(step // 5, row) for step, row in zip(latent["steps"], latent["rows"], strict=True)}
        assert windows == set(zip(kept["steps"], kept["rows"], strict=True))
        assert sorted(zip(restored["steps"], restored["rows"], strict=True)) == sorted(
            (5 * w, row) for w, row in windows
        )
    assert any(sample["panels"][1]["steps"] for sample in content["samples"])

    first = plot_gallery(content, tmp_path / "gallery.png").read_bytes()
    image = matplotlib.image.imread(tmp_path / "gallery.png")
    assert image.shape[1] > 1000
    assert np.asarray(image)[..., :3].std() > 0.05
    assert plot_gallery(content, tmp_path / "gallery.png").read_bytes() == first
