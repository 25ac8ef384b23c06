"""Reading one file of the Spiking Heidelberg Digits, and saying what is wrong with it.

The format (Cramer et al. 2020, "The Heidelberg Spiking Data Sets"): HDF5 with ``spikes/times`` (a row of floats a
sample, s), ``spikes/units`` (a row of integers 0..699 a sample), ``labels``, ``extra/speaker``, ``extra/keys``
(the names of the classes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import h5py
import numpy as np
import numpy.typing as npt

N_UNITS = 700
N_CLASSES = 20
_KEYS = ("spikes/times", "spikes/units", "labels", "extra/speaker", "extra/keys")
_SAMPLES_AT_ONCE = 256
_ADVICE = (
    "The file is damaged or is not SHD: put the original there, or delete it and make the data set with download=True"
)


class SHDFile:
    """An open SHD file whose outer form has been checked; its events are checked as they are read.

    Attributes:
        path: where it lies.
        labels: int64 ``[N]``, 0..19.
        speakers: int64 ``[N]``.
        class_names: 20 names.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            FileNotFoundError: there is none.
            ValueError: not HDF5, truncated, a key missing, lengths that differ, labels that are not 0..19.
        """
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(f"{path}: a file of the Spiking Heidelberg Digits was wanted, there is none")
        try:
            self._file = h5py.File(path, "r")
        except PermissionError:
            raise
        except OSError as error:
            self._refuse(f"an HDF5 file was wanted, but it is not one or it is truncated ({error})")
        try:
            self._check_form()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> SHDFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self.labels)

    def events(self) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]]:
        """Times in s, sorted, and units 0..699 of each sample in turn.

        Raises:
            ValueError: a sample whose times and units differ in number, whose times are NaN or infinite, negative or
                unsorted, or whose units are not 0..699; the message names the sample.
        """
        for start in range(0, len(self), _SAMPLES_AT_ONCE):
            times = self._read("spikes/times", start)
            units = self._read("spikes/units", start)
            for offset in range(len(times)):
                yield self._checked_events(start + offset, times[offset], units[offset])

    def _read(self, key: str, start: int) -> npt.NDArray[Any]:
        stop = min(start + _SAMPLES_AT_ONCE, len(self))
        try:
            values: npt.NDArray[Any] = self._file[key][start:stop]
        except (OSError, RuntimeError) as error:
            self._refuse(f"samples {start} to {stop - 1} of {key!r} cannot be read ({error})")
        return values

    def _checked_events(
        self, sample: int, times: npt.NDArray[Any], units: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        if len(times) != len(units):
            self._refuse(
                f"one unit for each spike time was wanted, {len(times)} times and {len(units)} units came", sample
            )
        times_s, channels = times.astype(np.float64), units.astype(np.int64)
        if not len(times_s):
            return times_s, channels
        if not np.isfinite(times_s).all():
            self._refuse(f"spike times in seconds were wanted, {times_s[~np.isfinite(times_s)][0]} came", sample)
        if times_s.min() < 0:
            self._refuse(f"spike times from 0 s were wanted, {times_s.min():g} s came", sample)
        descents = np.flatnonzero(times_s[1:] < times_s[:-1])
        if len(descents):
            earlier, later = times_s[descents[0]], times_s[descents[0] + 1]
            self._refuse(
                f"spike times sorted from early to late were wanted, {earlier:g} s before {later:g} s came", sample
            )
        if channels.min() < 0 or channels.max() >= N_UNITS:
            unit = channels[(channels < 0) | (channels >= N_UNITS)][0]
            self._refuse(f"units 0 to {N_UNITS - 1} were wanted, unit {unit} came", sample)
        return times_s, channels

    def _check_form(self) -> None:
        missing = [key for key in _KEYS if not isinstance(self._file.get(key), h5py.Dataset)]
        if missing:
            self._refuse(f"the HDF5 data sets {', '.join(_KEYS)} were wanted, {', '.join(missing)} is missing")
        try:
            self.labels = self._numbers("labels")
            self.speakers = self._numbers("extra/speaker")
            names = self._file["extra/keys"][()]
        except (OSError, RuntimeError) as error:
            self._refuse(f"its labels, speakers or keys cannot be read ({error})")
        for key, kinds, what in (("spikes/times", "f", "floats (s)"), ("spikes/units", "iu", "integers")):
            row_type = h5py.check_vlen_dtype(self._file[key].dtype)
            if row_type is None or np.dtype(row_type).kind not in kinds:
                self._refuse(
                    f"{key!r} with a row of {what} a sample was wanted, {row_type or self._file[key].dtype} came"
                )
        lengths = {key: self._file[key].shape for key in _KEYS[:-1]}
        if len(set(lengths.values())) != 1 or len(self._file["labels"].shape) != 1:
            came = ", ".join(f"{list(shape)} in {key!r}" for key, shape in lengths.items())
            self._refuse(f"as many times, units, labels and speakers as samples were wanted, {came} came")
        for sample in np.flatnonzero((self.labels < 0) | (self.labels >= N_CLASSES))[:1]:
            self._refuse(f"labels 0 to {N_CLASSES - 1} were wanted, label {self.labels[sample]} came", int(sample))
        if names.shape != (N_CLASSES,):
            self._refuse(f"{N_CLASSES} class names in 'extra/keys' were wanted, {list(names.shape)} came")
        self.class_names = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names]

    def _numbers(self, key: str) -> npt.NDArray[np.int64]:
        values = self._file[key][()]
        if values.dtype.kind not in "iu":
            self._refuse(f"integers in {key!r} were wanted, {values.dtype} came")
        numbers: npt.NDArray[np.int64] = values.astype(np.int64)
        return numbers

    def _refuse(self, problem: str, sample: int | None = None) -> NoReturn:
        where = f"{self.path}" if sample is None else f"{self.path}, sample {sample}"
        raise ValueError(f"{where}: {problem}. {_ADVICE}") from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
