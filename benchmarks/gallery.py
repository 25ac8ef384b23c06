"""A gallery of rasters: what goes into a network, what is kept of it, and what comes back to be replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avalanche_snn.models import RecurrentSNN
from avalanche_snn.spikes import make_codec, rice_bytes
from benchmarks import style
from benchmarks.catalogue import find_benchmark
from benchmarks.files import write_whole
from benchmarks.plans import make_plan
from benchmarks.pretraining import CACHE, pretrain
from benchmarks.progress import EpochBar, EpochCounter

_BENCHMARK, _AFTER, _WINDOW = "multi_class_incremental", "hidden2", 5
_N_SAMPLES = 3
_SHD_MILLISECONDS = 1400.0


def make_gallery(data: str, path: Path, *, quick: bool = False, networks: Path = CACHE) -> dict[str, Any]:
    """Take samples of the test stream through the network after experience 0, and write the rasters on their way.

    Args:
        data: "shd" or "synthetic".
        path: of the JSON file.
        quick: a small network and coarse rasters, to try things out.
        networks: folder of networks after experience 0; one that is missing is trained.

    Returns:
        What was written: for each sample its class and its panels, each a raster as time steps and rows of its events.
    """
    plan = make_plan(_BENCHMARK, "naive", data=data, quick=quick)
    scenario = find_benchmark(_BENCHMARK).build[plan.data](seed=plan.seed, dtype=torch.uint8, **plan.stream)
    model = RecurrentSNN(scenario.n_channels, n_classes=len(scenario.class_names), seed=plan.seed, **plan.network)
    bar = EpochBar("network of the gallery")
    counter = EpochCounter(plan.training.first_epochs, bar)
    try:
        pretrain(model, scenario.train_stream[0], plan, scenario.dataset_sha256, [counter], networks)
    finally:
        bar.close()
    dataset = scenario.test_stream[0].dataset
    labels = np.asarray(list(dataset.targets))
    # The first sample of each of the first classes: not chosen by what they look like.
    chosen = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:_N_SAMPLES]]
    rasters = torch.stack([torch.as_tensor(dataset[index][0]) for index in chosen])
    model.cut(_AFTER, rasters)
    with torch.no_grad():
        latents = model.eval().front(rasters).round()
    samples = [
        {
            "class": scenario.class_names[int(labels[index])],
            "panels": _panels(raster, latent),
        }
        for index, raster, latent in zip(chosen, rasters, latents, strict=True)
    ]
    content = {
        "data_name": scenario.dataset_name,
        "data_sha256": scenario.dataset_sha256,
        "split": scenario.split,
        "settings": plan.settings,
        "samples": samples,
    }
    write_whole(path, (json.dumps(content, sort_keys=True) + "\n").encode())
    return content


def _panels(raster: Tensor, latent: Tensor) -> list[dict[str, Any]]:
    """Input `[T, C]`, latent `[T, H]`, their bytes without loss, what a lossy code keeps, and what comes back."""
    n_steps, n_features = latent.shape
    codec = make_codec(f"any/{_WINDOW}", n_steps, n_features, max_count=max(1, int(latent.max())))
    packed = codec.encode(latent[None])
    restored = codec.decode(packed)[0]
    padded = torch.cat((latent, latent.new_zeros(-n_steps % _WINDOW, n_features)))
    kept = (padded.reshape(-1, _WINDOW, n_features) > 0).any(dim=1)
    step = _SHD_MILLISECONDS / n_steps
    return [
        _panel("input", raster, step, int(rice_bytes(raster[None].to(torch.uint8)))),
        _panel(f"latent after {_AFTER}", latent, step, int(rice_bytes(latent[None].to(torch.uint8)))),
        _panel(f"kept by any/{_WINDOW}", kept, step * _WINDOW, packed.nbytes),
        _panel("restored", restored, step, None),
    ]


def _panel(title: str, raster: Tensor, step: float, n_bytes: int | None) -> dict[str, Any]:
    steps, rows = np.nonzero(raster.numpy())
    return {
        "title": title,
        "n_steps": raster.shape[0],
        "n_rows": raster.shape[1],
        "milliseconds": step,
        "bytes": n_bytes,
        "steps": steps.tolist(),
        "rows": rows.tolist(),
    }


def plot_gallery(content: dict[str, Any], path: Path) -> Path:
    """Draw a gallery: a sample a row, its rasters side by side."""
    samples = content["samples"]
    n_panels = len(samples[0]["panels"])
    drawn = style.figure(2.9 * n_panels, 2.1 * len(samples) + 0.4)
    all_axes = drawn.subplots(len(samples), n_panels, squeeze=False, sharex=True)
    for sample, row in zip(samples, all_axes, strict=True):
        for number, (panel, axes) in enumerate(zip(sample["panels"], row, strict=True)):
            _draw_panel(panel, axes)
            axes.spines[["top", "right"]].set_visible(False)
            size = "" if panel["bytes"] is None else f", {panel['bytes']:,} bytes"
            axes.set_title(f"{panel['title']}{size}", loc="left", fontsize=9)
            axes.set_ylabel(f'"{sample["class"]}": channel' if number == 0 else "neuron", fontsize=9)
            axes.tick_params(labelsize=8)
    for axes in all_axes[-1]:
        axes.set_xlabel("time (ms)", fontsize=9)
    drawn.suptitle(f"{content['data_name']}, {content['split']} split, test samples", x=0.01, ha="left", fontsize=11)
    return style.save(drawn, path)


def plot_galleries(results: Path, folder: Path) -> list[Path]:
    """Draw the galleries that are recorded beside a folder of records."""
    files = sorted((results / "gallery").glob("*.json"))
    return [
        plot_gallery(json.loads(file.read_text(encoding="utf-8")), folder / f"gallery-{file.stem}.png")
        for file in files
    ]


def _draw_panel(panel: dict[str, Any], axes: Any) -> None:
    steps, rows = np.asarray(panel["steps"]), np.asarray(panel["rows"])
    width = panel["milliseconds"]
    # A spike is as wide as its time step and as high as its row.
    raster = np.zeros((panel["n_rows"], panel["n_steps"]), dtype=bool)
    raster[rows, steps] = True
    extent = (0.0, panel["n_steps"] * width, -0.5, panel["n_rows"] - 0.5)
    axes.imshow(raster, cmap="Greys", aspect="auto", origin="lower", extent=extent, interpolation="none")
