from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_shd import small_samples, write_shd

from avalanche_snn.datasets import SHD
from avalanche_snn.datasets.shd_file import SHDFile

LABELS = np.arange(7, dtype=np.uint16)


def refusal(path: Path, root: Path) -> str:
    """What a user is told, who must be left without rasters."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        SHD(root)
    assert "download=True" in str(caught.value), "says what to do"
    rasters = root / "SHD" / "rasters"
    assert not rasters.exists() or not list(rasters.iterdir())
    return str(caught.value).removeprefix(str(path))


def test_not_hdf5(tmp_path: Path) -> None:
    path = write_shd(tmp_path)
    path.write_bytes(b"<html>404 not found</html>" * 100)

    assert "an HDF5 file was wanted, but it is not one or it is truncated" in refusal(path, tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    path = write_shd(tmp_path)
    path.write_bytes(b"")

    assert "an HDF5 file was wanted" in refusal(path, tmp_path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(tmp_path: Path, part: float) -> None:
    path = write_shd(tmp_path, small_samples(40))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])

    assert "truncated" in refusal(path, tmp_path)


def test_events_that_cannot_be_read(tmp_path: Path) -> None:
    path = write_shd(tmp_path, small_samples(40))
    whole = bytearray(path.read_bytes())
    # "GCOL" opens each heap of variable-length rows: break those, and leave the rest of the file in order.
    assert whole.count(b"GCOL") > 1
    path.write_bytes(bytes(whole.replace(b"GCOL", b"gone")))

    assert ": samples 0 to 39 of 'spikes/times' cannot be read" in refusal(path, tmp_path)


@pytest.mark.parametrize("key", ["spikes/times", "spikes/units", "labels", "extra/speaker", "extra/keys", "spikes"])
def test_a_missing_key(tmp_path: Path, key: str) -> None:
    path = write_shd(tmp_path, without=[key])

    message = refusal(path, tmp_path)

    assert "the HDF5 data sets spikes/times, spikes/units, labels, extra/speaker, extra/keys were wanted" in message
    assert re.search(rf"were wanted, {key}.* missing", message)


@pytest.mark.parametrize(
    ("times", "units", "problem"),
    [
        ([0.25, 0.125, 0.5], [1, 2, 3], "sorted from early to late were wanted, 0.25 s before 0.125 s came"),
        ([-0.125, 0.25], [1, 2], "spike times from 0 s were wanted, -0.125 s came"),
        ([0.125, np.nan], [1, 2], "spike times in seconds were wanted, nan came"),
        ([0.125, np.inf], [1, 2], "spike times in seconds were wanted, inf came"),
        ([0.125, 0.25], [1, 700], "units 0 to 699 were wanted, unit 700 came"),
        ([0.125, 0.25], [-1, 5], "units 0 to 699 were wanted, unit -1 came"),
        ([0.125, 0.25], [1], "one unit for each spike time was wanted, 2 times and 1 units came"),
        ([], [1], "one unit for each spike time was wanted, 0 times and 1 units came"),
    ],
)
@pytest.mark.parametrize("sample", [0, 4, 300])
def test_a_damaged_sample_is_named(
    tmp_path: Path, times: list[float], units: list[int], problem: str, sample: int
) -> None:
    samples = small_samples(2) * 151
    samples[sample] = (np.array(times, np.float16), np.array(units, np.int32))
    path = write_shd(tmp_path, samples, unit_type=np.int32)

    assert refusal(path, tmp_path).startswith(
        f", sample {sample}: {problem}" if "sorted" not in problem else f", sample {sample}: spike times {problem}"
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"labels": LABELS[:6]},
            r"as many times, units, labels and speakers as samples were wanted, .*\[6\] in 'labels'",
        ),
        ({"speakers": LABELS[:3]}, r"as samples were wanted, .*\[3\] in 'extra/speaker'"),
        ({"labels": LABELS.reshape(7, 1)}, r"as samples were wanted, .*\[7, 1\] in 'labels'"),
        ({"labels": np.array([0, 1, 2, 20, 4, 5, 6])}, "sample 3: labels 0 to 19 were wanted, label 20 came"),
        ({"labels": np.array([0, 1, 2, 3, 4, -1, 6])}, "sample 5: labels 0 to 19 were wanted, label -1 came"),
        ({"labels": np.array([0, 1, np.nan, 3, 4, 5, 6])}, "integers in 'labels' were wanted, float64 came"),
        ({"speakers": LABELS / 2}, "integers in 'extra/speaker' were wanted, float64 came"),
        ({"keys": ["zero", "one"]}, r"20 class names in 'extra/keys' were wanted, \[2\] came"),
        ({"time_type": np.int32}, r"'spikes/times' with a row of floats \(s\) a sample was wanted"),
        ({"unit_type": np.float32}, "'spikes/units' with a row of integers a sample was wanted"),
    ],
)
def test_a_file_of_the_wrong_form(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    path = write_shd(tmp_path, **changes)

    assert re.search(problem, refusal(path, tmp_path))


def test_times_that_are_no_rows(tmp_path: Path) -> None:
    path = write_shd(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["spikes/times"]
        file["spikes/times"] = np.zeros(7)

    assert "'spikes/times' with a row of floats (s) a sample was wanted" in refusal(path, tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"shd_train\.h5: a file of the Spiking Heidelberg Digits was wanted"):
        SHDFile(tmp_path / "shd_train.h5")


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_times_of_other_precision_are_as_good(tmp_path: Path, precision: type) -> None:
    path = write_shd(tmp_path, time_type=precision)

    with SHDFile(path) as file:
        events = list(file.events())

    for (times_s, units), (expected_times, expected_units) in zip(events, small_samples(), strict=True):
        np.testing.assert_array_equal(times_s, expected_times.astype(np.float64))
        np.testing.assert_array_equal(units, expected_units)
