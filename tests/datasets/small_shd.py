"""Small files in SHD's own format, for the real reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

CLASS_NAMES = "zero one two three four five six seven eight nine null eins zwei drei vier fuenf sechs sieben acht neun"
Events = tuple[npt.NDArray[np.float16], npt.NDArray[np.uint16]]


def small_samples(n_samples: int = 7, seed: int = 0) -> list[Events]:
    """Random samples: sorted times up to 1.3 s, float16, and units 0..699, uint16."""
    generator = np.random.default_rng(seed)
    samples = []
    for _ in range(n_samples):
        n_events = int(generator.integers(50, 400))
        times = np.sort(generator.uniform(0.0, 1.3, n_events)).astype(np.float16)
        samples.append((times, generator.integers(0, 700, n_events).astype(np.uint16)))
    return samples


def write_shd(
    root: Path,
    samples: Sequence[Events] | None = None,
    *,
    split: str = "train",
    labels: npt.ArrayLike | None = None,
    speakers: npt.ArrayLike | None = None,
    keys: Sequence[str] = tuple(CLASS_NAMES.split()),
    without: Sequence[str] = (),
    time_type: type = np.float16,
    unit_type: type = np.uint16,
) -> Path:
    """Write ``<root>/SHD/shd_{split}.h5``; what is not given is in order."""
    samples = small_samples() if samples is None else samples
    path = root / "SHD" / f"shd_{split}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (len(samples),), dtype=h5py.vlen_dtype(np.dtype(time_type)))
        units = file.create_dataset("spikes/units", (len(samples),), dtype=h5py.vlen_dtype(np.dtype(unit_type)))
        for sample, (sample_times, sample_units) in enumerate(samples):
            times[sample], units[sample] = sample_times, sample_units
        file["labels"] = np.arange(len(samples), dtype=np.uint16) % 20 if labels is None else np.asarray(labels)
        file["extra/speaker"] = (
            np.arange(len(samples), dtype=np.uint16) % 12 if speakers is None else np.asarray(speakers)
        )
        file["extra/keys"] = np.array(keys, dtype="S")
        for key in without:
            del file[key]
    return path
