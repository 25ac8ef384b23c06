"""Binned rasters in one file each: memory-mapped, checked when opened, written whole or not at all.

Such a file can be deleted at any time: it is built again when it is wanted.

File layout (little endian): ``MAGIC``, length and CRC-32 of the header (two uint32), the header in JSON, zeros up to
``DATA_OFFSET``, then the data: rasters uint8 ``[N, T, C]``, targets int64 ``[N]``, speakers int64 ``[N]``. The header
holds the CRC-32 of all data, so that a changed byte anywhere is noticed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import struct
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

MAGIC = b"avsnn-rasters-1\n"
DATA_OFFSET = 16384
_PREFIX = struct.Struct(f"<{len(MAGIC)}sII")
_ABANDONED_AFTER_S = 3600.0


class DamagedCacheError(ValueError):
    """A raster file that is truncated, tampered with, or of another format."""


@dataclass(frozen=True)
class RasterSummary:
    """What belongs to the rasters of one file besides their cells.

    Attributes:
        targets: int64 ``[N]``, class of each sample.
        speakers: int64 ``[N]``, speaker of each sample.
        facts: anything else worth keeping that JSON can hold.
    """

    targets: npt.NDArray[np.int64]
    speakers: npt.NDArray[np.int64]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class RasterFile:
    """An open raster file.

    Attributes:
        path: where it lies.
        crc32: checksum of its data.
        rasters: read-only uint8 ``[N, T, C]``, mapped from the file.
        summary: targets, speakers, facts.
    """

    path: Path
    crc32: int
    rasters: npt.NDArray[np.uint8]
    summary: RasterSummary


class RasterWriter:
    """Appends rasters to a file that is still being written, and sums them up."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._file.seek(DATA_OFFSET)
        self._crc32 = 0
        self._n_samples = 0
        self._shape: tuple[int, ...] = (0, 0)

    def append(self, rasters: npt.NDArray[np.uint8]) -> None:
        """Append uint8 ``[n, T, C]``."""
        self._shape = rasters.shape[1:]
        self._n_samples += len(rasters)
        self._write(rasters)

    def finish(self, built_for: Mapping[str, Any], summary: RasterSummary) -> None:
        """Write targets, speakers and, last, the header."""
        for values in (summary.targets, summary.speakers):
            self._write(np.asarray(values, dtype="<i8"))
        header = json.dumps(
            {
                "built_for": built_for,
                "shape": [self._n_samples, *self._shape],
                "crc32": self._crc32,
                "facts": dict(summary.facts),
            },
            sort_keys=True,
        ).encode()
        if _PREFIX.size + len(header) > DATA_OFFSET:
            raise ValueError(f"header of {len(header)} bytes, at most {DATA_OFFSET - _PREFIX.size} fit")
        self._file.seek(0)
        self._file.write((_PREFIX.pack(MAGIC, len(header), zlib.crc32(header)) + header).ljust(DATA_OFFSET, b"\0"))

    def _write(self, values: npt.NDArray[Any]) -> None:
        data = np.ascontiguousarray(values).data
        self._crc32 = zlib.crc32(data, self._crc32)
        self._file.write(data)


def open_rasters(path: Path, *, check: bool = True) -> tuple[RasterFile, dict[str, Any]]:
    """Map a raster file into memory.

    Args:
        path: the file.
        check: read all data and compare its checksum (0.2 s a gigabyte when the file is in the page cache).

    Returns:
        The open file, and what it was built for.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedCacheError: it is truncated, tampered with, or not a raster file.
    """
    with path.open("rb") as file:
        start = file.read(DATA_OFFSET)
        size = os.fstat(file.fileno()).st_size
        header = _parse_header(start)
        n_samples, n_time_steps, n_channels = header["shape"]
        n_cells = n_samples * n_time_steps * n_channels
        expected = DATA_OFFSET + n_cells + 2 * 8 * n_samples
        if size != expected:
            raise DamagedCacheError(f"{size} bytes long instead of {expected}")
        # Mapped from the open file, not from its name, which another process may replace at any moment.
        # (Nothing cannot be mapped.)
        data: npt.NDArray[np.uint8] = (
            np.asarray(np.memmap(file, dtype=np.uint8, mode="r", offset=DATA_OFFSET))
            if size > DATA_OFFSET
            else np.zeros(0, np.uint8)
        )
    if check and zlib.crc32(data.data) != header["crc32"]:
        raise DamagedCacheError("changed in its data, which do not match their checksum")
    labels = np.frombuffer(data[n_cells:].tobytes(), dtype="<i8").astype(np.int64)
    summary = RasterSummary(targets=labels[:n_samples], speakers=labels[n_samples:], facts=header["facts"])
    rasters = data[:n_cells].reshape(n_samples, n_time_steps, n_channels)
    return RasterFile(path=path, crc32=header["crc32"], rasters=rasters, summary=summary), header["built_for"]


def open_or_build(
    name: str,
    *,
    key: Mapping[str, Any],
    state: Mapping[str, Any],
    folders: Sequence[Path],
    build: Callable[[RasterWriter], RasterSummary],
) -> RasterFile:
    """Open the rasters that were built for ``key`` and ``state``, or build them now.

    Two processes may do this at once: each writes a file of its own and moves it into place when it is whole, and the
    two are equal.

    Args:
        name: what the rasters are called, the first part of the file name.
        key: what was asked for, as JSON holds it: one file for each different key.
        state: what the source was like, as JSON holds it: a file that was built from another state is replaced.
        folders: where to look, best first; the first that can be written to is used for building.
        build: appends all rasters to the writer it is given, and returns what belongs to them.

    Returns:
        The open raster file.

    Raises:
        OSError: none of the folders can be written to, or the disk is full.
    """
    wanted = json.loads(json.dumps({"key": dict(key), "state": dict(state)}))
    digest = hashlib.sha256(json.dumps(wanted["key"], sort_keys=True).encode()).hexdigest()
    file_name = f"{name}_{digest[:16]}.rasters"
    for folder in folders:
        path = folder / file_name
        try:
            found, built_for = open_rasters(path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except DamagedCacheError as error:
            logger.warning("%s is damaged (%s): building it anew", path, error)
            continue
        if built_for == wanted:
            return found
        logger.info("%s was built from another state of its source: building it anew", path)
    folder = _writable_folder(folders)
    _write_atomically(folder / file_name, wanted, build)
    return open_rasters(folder / file_name)[0]


def user_cache_folder() -> Path:
    """Folder for what cannot be kept beside the data: ``$XDG_CACHE_HOME/avalanche_snn``, else in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "avalanche_snn"


def _parse_header(start: bytes) -> dict[str, Any]:
    if len(start) < DATA_OFFSET:
        raise DamagedCacheError(f"{len(start)} bytes long, too short for its header")
    magic, length, crc32 = _PREFIX.unpack_from(start)
    if magic != MAGIC:
        raise DamagedCacheError("not a raster file")
    header = start[_PREFIX.size : _PREFIX.size + length]
    if zlib.crc32(header) != crc32 or start[_PREFIX.size + length :].strip(b"\0"):
        raise DamagedCacheError("changed in its header, which does not match its checksum")
    parsed: dict[str, Any] = json.loads(header)
    return parsed


def _writable_folder(folders: Sequence[Path]) -> Path:
    reasons = []
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Tried out, because permission bits do not tell about read-only file systems.
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reasons.append(f"{folder} ({error.strerror})")
            continue
        if reasons:
            logger.warning("binned rasters are kept in %s, because these cannot be written to: %s", folder, reasons)
        return folder
    raise OSError(
        errno.EACCES,
        f"no folder to keep the binned rasters in: tried {', '.join(reasons)}. "
        "Point the environment variable XDG_CACHE_HOME to a folder that can be written to",
    )


def _write_atomically(path: Path, built_for: Mapping[str, Any], build: Callable[[RasterWriter], RasterSummary]) -> None:
    _remove_abandoned(path)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            writer = RasterWriter(file)
            writer.finish(built_for, build(writer))
            file.flush()
            # The data must be on disk before its name is, or a power cut leaves a whole name on half a file.
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _remove_abandoned(path: Path) -> None:
    """Remove what killed writers of this file left; a living one has touched its file within the last hour."""
    for partial in path.parent.glob(f"{path.name}.*.partial"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > _ABANDONED_AFTER_S:
                partial.unlink()
