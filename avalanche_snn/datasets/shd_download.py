"""Fetching the Spiking Heidelberg Digits with tonic, whole or not at all."""

from __future__ import annotations

import http.client
import os
import shutil
import tempfile
import zipfile
from pathlib import Path


def download_shd(folder: Path, *, train: bool) -> None:
    """Fetch ``shd_train.h5`` or ``shd_test.h5`` into ``folder``; tonic downloads, verifies and unpacks it.

    All of that happens in a folder of its own, and the file is moved into place when it is whole: what an interrupted
    download leaves behind is never taken for data.

    Raises:
        FileNotFoundError: the download failed, or ``folder`` cannot be written to; says what to do instead.
    """
    # Imported here: who has the files does not need tonic.
    import tonic

    file_name = "shd_train.h5" if train else "shd_test.h5"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
    except OSError as error:
        raise FileNotFoundError(_failure(folder / file_name, f"{folder} cannot be written to: {error}")) from error
    try:
        tonic.datasets.SHD(save_to=str(unfinished), train=train)
        # The archive goes along: tonic's own SHD class looks for it, and would fetch it once more.
        for name in (f"{file_name}.zip", file_name):
            os.replace(unfinished / "SHD" / name, folder / name)
    except (OSError, RuntimeError, http.client.HTTPException, zipfile.BadZipFile) as error:
        raise FileNotFoundError(_failure(folder / file_name, f"{type(error).__name__}: {error}")) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _failure(path: Path, reason: str) -> str:
    return (
        f"{path} is missing and could not be downloaded ({reason}). Try again with an internet connection, or get "
        f"{path.name}.zip from https://zenkelab.org/datasets/ on another machine, unzip it and put {path.name} there, "
        "or name the folder that holds SHD/ with dataset_root= (root=) or the environment variable AVALANCHE_SNN_DATA"
    )
