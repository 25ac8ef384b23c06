"""Checkpoint files: whole or not there at all, and read without running anything that is in them."""

from __future__ import annotations

import contextlib
import glob
import os
from pathlib import Path
from typing import Any

import torch

FORMAT = "avalanche_snn checkpoint"
VERSION = 2


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that an interruption at any moment leaves the old file or the new one.

    Args:
        path: its folder is made if it is missing.
        content: plain data.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            torch.save({"format": FORMAT, "version": VERSION, **content}, file)
            file.flush()
            # The data must be on disk before their name is, or a power cut leaves a whole name on half a file.
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing but tensors and plain data is accepted, so no code in it is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint, is damaged, holds anything else, or has another version.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no checkpoint {path}: give the path that save() or resume() was given."
        ) from None
    with file:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever bytes that are no checkpoint make the reader raise
            raise ValueError(
                f"{path} cannot be read as a checkpoint: it is another file, damaged, or holds more than tensors and "
                f"plain data, which is refused because it could run code. ({type(error).__name__}: {error})"
            ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} was not written by avalanche_snn.checkpointing: give the path of a checkpoint.")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} has version {content.get('version')!r} of the checkpoint format, but this avalanche_snn reads "
            f"version {VERSION}: go on with it with the avalanche_snn that wrote it, or start anew in another file."
        )
    return content


def remove_partial_files(path: Path) -> None:
    """Remove what killed writers of this checkpoint left behind."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the file's new name on disk too, where a folder can be opened for that (not on Windows)."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
