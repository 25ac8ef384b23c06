"""Data sets of spike rasters: what every data set of this library is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from avalanche_snn.datasets.raster_cache import DamagedCacheError, RasterFile, open_rasters
from avalanche_snn.spikes import rice_bytes

_DTYPES = (torch.uint8, torch.float16, torch.float32, torch.float64)
_UNKNOWN = -1
_CHUNK = 128


class RasterDataset(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Spike counts of N samples, kept as uint8 until a sample or a batch is asked for.

    A data set of one's own needs no more than arrays::

        dataset = RasterDataset(rasters, targets, speakers, class_names=["yes", "no"], name="Yes or no", split="train")

    and can be given to everything that takes ``SHD``. A subclass prepares such arrays in its ``__init__`` (events
    become a raster with `avalanche_snn.spikes.bin_events`) and passes them on to this one; arrays that are mapped from
    a file by `avalanche_snn.datasets.raster_cache` come in through ``file=`` and are not copied when pickled.

    Attributes:
        rasters: read-only uint8 ``[N, T, C]``, spikes a cell.
        targets: N class numbers.
        speakers: int64 ``[N]``, who spoke the sample.
        class_names: one name a class.
        name: what the data are called in tables and plots.
        split: ``"train"`` or ``"test"``.
        duration_ms: what the T time steps span, in ms.
        dtype: of the rasters that are given out.
        sha256: of the source data, in hex.
        n_empty_samples: samples without a single spike.
        n_dropped_events: events left out because they come after ``duration_ms``.
    """

    def __init__(
        self,
        rasters: npt.NDArray[np.uint8] | None = None,
        targets: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
        speakers: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
        *,
        class_names: Sequence[str],
        name: str,
        split: str,
        duration_ms: float = 1400.0,
        sha256: str | None = None,
        n_dropped_events: int = 0,
        n_empty_samples: int | None = None,
        file: RasterFile | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the arrays, or the file that holds them.

        Args:
            rasters: uint8 ``[N, T, C]``.
            targets: N class numbers from 0.
            speakers: N speaker numbers; all 0 when left out.
            class_names: one name a class.
            name: what the data are called in tables and plots.
            split: ``"train"`` or ``"test"``.
            duration_ms: what the T time steps span, in ms.
            sha256: of the source data; of the arrays when left out.
            n_dropped_events: events that are in the source but not in the rasters.
            n_empty_samples: samples without a spike; counted when left out.
            file: an open raster file that holds rasters, targets and speakers; excludes the first three.
            dtype: of the rasters that are given out: float32, which every module of torch takes, or uint8 as they are
                stored, which is several times quicker to load and which the networks of this library take as well;
                float16 and float64 too.

        Raises:
            TypeError: neither arrays nor a file, or both; rasters that are not uint8; another dtype than those.
            ValueError: shapes or lengths that do not fit together, a target without a name.
        """
        if (file is None) == (rasters is None or targets is None):
            raise TypeError("RasterDataset: rasters and targets were wanted, or a raster file, and not both")
        if dtype not in _DTYPES:
            raise TypeError(f"dtype: one of {', '.join(map(str, _DTYPES))} was wanted, {dtype!r} came")
        self.dtype = dtype
        self._code_bytes: npt.NDArray[np.int64] | None = None
        self._file = file
        if file is not None:
            rasters, targets, speakers = file.rasters, file.summary.targets, file.summary.speakers
        assigned = np.asarray(targets)
        spoken_by = np.zeros(len(assigned), np.int64) if speakers is None else np.asarray(speakers)
        _check_arrays(rasters, assigned, spoken_by, len(class_names))
        self.rasters: npt.NDArray[np.uint8] = np.asarray(rasters).view()
        self.rasters.flags.writeable = False
        self.targets: list[int] = assigned.tolist()
        self.speakers: npt.NDArray[np.int64] = spoken_by.astype(np.int64)
        self.class_names = list(class_names)
        self.name = name
        self.split = split
        self.duration_ms = float(duration_ms)
        self.sha256 = self._digest() if sha256 is None else sha256
        self.n_dropped_events = n_dropped_events
        if n_empty_samples is None:
            n_empty_samples = int(np.count_nonzero(~self.rasters.any(axis=(1, 2))))
        self.n_empty_samples = n_empty_samples

    @property
    def n_time_steps(self) -> int:
        """Time steps of a raster."""
        return int(self.rasters.shape[1])

    @property
    def n_channels(self) -> int:
        """Channels of a raster."""
        return int(self.rasters.shape[2])

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Sample ``index``: its raster ``[T, C]``, of the data set's dtype, and its class."""
        return cast(torch.from_numpy(self.rasters[index].copy()), self.dtype), self.targets[index]

    def rasters_of(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]] | torch.Tensor) -> torch.Tensor:
        """Rasters of many samples at once, ``[B, T, C]`` of the data set's dtype: much faster than one by one.

        Args:
            indices: B sample numbers; negative ones count from the end.

        Raises:
            TypeError: indices that are not integers (a mask of bools, say).
            IndexError: an index outside the data set.
        """
        return cast(self.stored_rasters_of(indices), self.dtype)

    def stored_rasters_of(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]] | torch.Tensor) -> torch.Tensor:
        """Rasters of many samples as they are stored, uint8 ``[B, T, C]``; the indices are those of `rasters_of`."""
        return torch.from_numpy(np.take(self.rasters, _whole_numbers(indices), axis=0))

    def code_bytes(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]] | torch.Tensor) -> npt.NDArray[np.int64]:
        """Bytes of some samples' rasters, stored without loss: those of the code 'rice', see `make_codec`.

        Each is worked out once, which takes a millisecond or two for a raster of SHD; the indices are those of
        `rasters_of`.
        """
        if self._code_bytes is None:
            self._code_bytes = np.full(len(self), _UNKNOWN)
        wanted = _whole_numbers(indices) % max(1, len(self))
        unknown = np.unique(wanted[self._code_bytes[wanted] == _UNKNOWN])
        for start in range(0, len(unknown), _CHUNK):
            of_chunk = unknown[start : start + _CHUNK]
            self._code_bytes[of_chunk] = rice_bytes(self.stored_rasters_of(of_chunk)).numpy()
        found: npt.NDArray[np.int64] = self._code_bytes[wanted]
        return found

    def __repr__(self) -> str:
        return (
            f"{self.name}({self.split}: {len(self)} samples of {self.n_time_steps} time steps over "
            f"{self.duration_ms:g} ms x {self.n_channels} channels, {len(self.class_names)} classes, "
            f"{self.n_empty_samples} samples empty, {self.n_dropped_events} events dropped)"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Name the raster file instead of copying what it holds, so that workers and copies are cheap."""
        state = {**self.__dict__, "_code_bytes": None}
        if self._file is not None:
            for held in ("rasters", "targets", "speakers"):
                del state[held]
            state["_file"] = (self._file.path, self._file.crc32)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._file is not None:
            path, crc32 = state["_file"]
            self._file = _reopen(path, crc32)
            self.rasters = self._file.rasters
            self.targets = self._file.summary.targets.tolist()
            self.speakers = self._file.summary.speakers
        self.rasters.flags.writeable = False

    def _digest(self) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(self.rasters).data)
        for values in (np.asarray(self.targets), self.speakers):
            digest.update(values.astype("<i8").data)
        return digest.hexdigest()


def cast(rasters: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Rasters in another dtype, one of those of `RasterDataset`; the same tensor where they have that one.

    Args:
        rasters: on the CPU, any shape.
        dtype: of the result.
    """
    if rasters.dtype == dtype:
        return rasters
    # Memory from numpy: it asks for large pages, with which a fresh minibatch is written several times quicker.
    result = torch.from_numpy(np.empty(rasters.shape, torch.empty(0, dtype=dtype).numpy().dtype))
    return result.copy_(rasters)


def _whole_numbers(
    indices: Sequence[int] | npt.NDArray[np.integer[Any]] | torch.Tensor,
) -> npt.NDArray[np.integer[Any]]:
    """Sample numbers as an array of integers ``[B]``."""
    chosen = np.asarray(indices)
    if chosen.size == 0:
        chosen = chosen.astype(np.int64)
    if chosen.dtype.kind not in "iu":
        raise TypeError(
            f"rasters_of: integer indices were wanted, {chosen.dtype} came (for a mask, np.flatnonzero of it)"
        )
    return chosen.reshape(-1)


def _reopen(path: Path, crc32: int) -> RasterFile:
    advice = "build the data set anew instead of unpickling it"
    try:
        file, _ = open_rasters(path, check=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: this pickled data set needs the file, but it is gone; {advice}") from None
    except DamagedCacheError as error:
        raise ValueError(f"{path}: this pickled data set needs the file, but it is {error}; {advice}") from None
    if file.crc32 != crc32:
        raise ValueError(f"{path}: the file now holds other rasters than when the data set was pickled; {advice}")
    return file


def _check_arrays(rasters: Any, targets: npt.NDArray[Any], speakers: npt.NDArray[Any], n_classes: int) -> None:
    if not isinstance(rasters, np.ndarray) or rasters.dtype != np.uint8:
        came = rasters.dtype if isinstance(rasters, np.ndarray) else type(rasters).__name__
        raise TypeError(f"rasters: a numpy array of uint8 was wanted, {came} came")
    if rasters.ndim != 3:
        raise ValueError(f"rasters: shape [samples, time steps, channels] was wanted, {list(rasters.shape)} came")
    for what, values in (("targets", targets), ("speakers", speakers)):
        if values.shape != (len(rasters),):
            raise ValueError(
                f"{what}: one for each of the {len(rasters)} rasters was wanted, {list(values.shape)} came"
            )
        if values.dtype.kind not in "iu" and len(values):
            raise TypeError(f"{what}: integers were wanted, {values.dtype} came")
    if len(targets) and (targets.min() < 0 or targets.max() >= n_classes):
        raise ValueError(
            f"targets: classes 0 to {n_classes - 1} were wanted, one for each of the {n_classes} class names, "
            f"{targets.min()} to {targets.max()} came"
        )
