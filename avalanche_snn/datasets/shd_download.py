"""Fetching the Spiking Heidelberg Digits with tonic, whole or not at all."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from avalanche_snn.datasets.downloads import unfinished


def download_shd(folder: Path, *, train: bool) -> None:
    """Fetch ``shd_train.h5`` or ``shd_test.h5`` into ``folder``; tonic downloads, verifies and unpacks it.

    Raises:
        FileNotFoundError: the download failed, or ``folder`` cannot be written to; says what to do instead.
    """
    # Imported here: who has the files does not need tonic.
    import tonic

    file_name = "shd_train.h5" if train else "shd_test.h5"
    with unfinished(folder, partial(_failure, folder / file_name)) as within:
        tonic.datasets.SHD(save_to=str(within), train=train)
        # The archive goes along: tonic's own SHD class looks for it, and would fetch it once more.
        for name in (f"{file_name}.zip", file_name):
            os.replace(within / "SHD" / name, folder / name)


def _failure(path: Path, reason: str) -> str:
    return (
        f"{path} is missing and could not be downloaded ({reason}). Try again with an internet connection, or get "
        f"{path.name}.zip from https://zenkelab.org/datasets/ on another machine, unzip it and put {path.name} there, "
        "or name the folder that holds SHD/ with dataset_root= (root=) or the environment variable AVALANCHE_SNN_DATA"
    )
