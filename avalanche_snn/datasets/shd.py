"""The Spiking Heidelberg Digits as rasters."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from avalanche_snn.datasets.binned_events import Binning, write_rasters
from avalanche_snn.datasets.locations import dataset_root
from avalanche_snn.datasets.raster_cache import RasterSummary, RasterWriter, open_or_build, user_cache_folder
from avalanche_snn.datasets.rasters import RasterDataset
from avalanche_snn.datasets.shd_download import download_shd
from avalanche_snn.datasets.shd_file import SHDFile, sha256_of


class SHD(RasterDataset):
    """Spiking Heidelberg Digits (Cramer et al. 2020): spoken digits, English 0-9 (classes 0-9), German (10-19).

    8156 training and 2264 test samples of 700 units; of the 12 speakers, 4 and 5 are in the test file only. The files
    ``<root>/SHD/shd_train.h5`` and ``shd_test.h5`` are used as they are when they lie there, and fetched otherwise.
    Their events are binned once into ``<root>/SHD/rasters/`` and mapped into memory from there.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        train: bool = True,
        n_time_steps: int = 100,
        duration_ms: float = 1400.0,
        n_channels: int = 700,
        binary: bool = False,
        dtype: torch.dtype = torch.float32,
        download: bool = True,
    ) -> None:
        """Open the rasters, binning the events first if that has not been done yet.

        Args:
            root: folder that holds ``SHD/``; see `dataset_root` for the default.
            train: the training file, or the test file.
            n_time_steps: T.
            duration_ms: what the T time steps span, in ms; later events are dropped and counted.
            n_channels: C, a divisor of 700: neighbouring units share a channel.
            binary: keep only whether there was a spike in a cell, not how many.
            dtype: of the rasters that are given out, see `RasterDataset`.
            download: fetch the file if it is missing.

        Raises:
            FileNotFoundError: the file is missing and may not, or could not, be downloaded.
            ValueError: a damaged or wrong file (the message names the sample); parameters that make no raster.
        """
        binning = Binning(n_time_steps, duration_ms, n_channels, binary)
        split = "train" if train else "test"
        folder = dataset_root(root) / "SHD"
        path = folder / f"shd_{split}.h5"
        if not path.exists():
            if not download:
                raise FileNotFoundError(
                    f"{path} is missing. Three ways out: download=True fetches it; dataset_root= (root=) names the "
                    "folder that holds SHD/; so does the environment variable AVALANCHE_SNN_DATA"
                )
            download_shd(folder, train=train)
        identity = _identity(path)
        file = open_or_build(
            binning.file_name(path.stem),
            key={"path": str(path.resolve())} | binning.parameters(),
            state=identity | {"binning": binning.fingerprint()},
            folders=[folder / "rasters", user_cache_folder() / "rasters"],
            build=lambda writer: _bin_file(path, identity, binning, writer),
        )
        facts = file.summary.facts
        super().__init__(
            file=file,
            class_names=facts["class_names"],
            name="SHD",
            split=split,
            duration_ms=duration_ms,
            sha256=facts["sha256"],
            n_dropped_events=facts["n_dropped_events"],
            n_empty_samples=facts["n_empty_samples"],
            dtype=dtype,
        )


def _identity(path: Path) -> dict[str, int]:
    """What tells one state of a file from another without reading it."""
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _bin_file(path: Path, identity: dict[str, int], binning: Binning, writer: RasterWriter) -> RasterSummary:
    with SHDFile(path) as source:
        losses = write_rasters(source.events(), len(source), binning, writer, str(path))
        sha256 = sha256_of(path)
    if _identity(path) != identity:
        raise ValueError(f"{path}: it was changed while it was being read; make the data set again when it is whole")
    facts = {
        "class_names": source.class_names,
        "sha256": sha256,
        "n_dropped_events": losses.n_dropped_events,
        "n_empty_samples": losses.n_empty_samples,
    }
    return RasterSummary(targets=source.labels, speakers=source.speakers, facts=facts)
