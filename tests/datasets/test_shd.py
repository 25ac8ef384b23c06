from __future__ import annotations

import copy
import hashlib
import logging
import os
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tonic
import torch
from small_shd import CLASS_NAMES, Events, small_samples, write_shd

from avalanche_snn.datasets import SHD


def histogram(events: Events, n_time_steps: int, duration_s: float, n_channels: int) -> npt.NDArray[np.float64]:
    """Another way to bin: numpy's histogram over explicit edges, the last of which it counts and we do not."""
    times, units = events[0].astype(np.float64), events[1]
    inside = times < duration_s
    edges = (np.linspace(0, duration_s, n_time_steps + 1), np.linspace(0, 700, n_channels + 1) - 0.5)
    return np.histogram2d(times[inside], units[inside], bins=edges)[0]


@pytest.mark.parametrize(
    ("n_time_steps", "duration_ms", "n_channels"), [(100, 1400.0, 700), (50, 1400.0, 140), (33, 700.0, 70)]
)
def test_rasters_equal_a_histogram(tmp_path: Path, n_time_steps: int, duration_ms: float, n_channels: int) -> None:
    samples = small_samples()
    write_shd(tmp_path, samples)

    counts = SHD(tmp_path, n_time_steps=n_time_steps, duration_ms=duration_ms, n_channels=n_channels)
    binary = SHD(tmp_path, n_time_steps=n_time_steps, duration_ms=duration_ms, n_channels=n_channels, binary=True)

    for sample, events in enumerate(samples):
        expected = histogram(events, n_time_steps, duration_ms / 1000, n_channels)
        np.testing.assert_array_equal(counts.rasters[sample], expected)
        np.testing.assert_array_equal(binary.rasters[sample], expected > 0)
    assert counts.n_dropped_events == sum(int((times >= duration_ms / 1000).sum()) for times, _ in samples)


def test_rasters_equal_tonics(tmp_path: Path) -> None:
    path = write_shd(tmp_path)
    path.with_name("shd_train.h5.zip").touch()  # tonic takes its presence as "downloaded"
    # Windows from 0 s on are ours; tonic's default starts at the first event, n_time_bins at that and at the last.
    to_frame = tonic.transforms.ToFrame(sensor_size=(700, 1, 1), time_window=14_000, start_time=0, end_time=1_400_000)
    theirs = tonic.datasets.SHD(save_to=str(tmp_path), train=True, transform=to_frame)

    ours = SHD(tmp_path)

    assert len(ours) == len(theirs) == 7
    for (raster, target), (frames, their_target) in zip((ours[i] for i in range(7)), theirs, strict=False):
        np.testing.assert_array_equal(raster.numpy(), frames[:, 0, :])
        assert target == their_target
    assert ours.speakers.tolist() == theirs.speaker.tolist()
    assert [name.encode() for name in ours.class_names] == theirs.classes.tolist()


def test_what_comes_from_the_file(tmp_path: Path) -> None:
    write_shd(tmp_path, small_samples(7))
    path = write_shd(
        tmp_path, small_samples(3), split="test", labels=np.array([19, 0, 7]), speakers=np.array([4, 5, 11])
    )

    dataset = SHD(tmp_path, train=False)

    assert (dataset.name, dataset.split, len(dataset)) == ("SHD", "test", 3)
    assert dataset.targets == [19, 0, 7]
    assert dataset.speakers.tolist() == [4, 5, 11]
    assert dataset.class_names == CLASS_NAMES.split()
    assert dataset.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dataset.rasters.shape == (3, 100, 700)
    assert dataset.rasters.dtype == np.uint8


def test_more_samples_than_are_read_at_once(tmp_path: Path) -> None:
    events = [(np.array([0.0105], np.float16), np.array([i % 700], np.uint16)) for i in range(600)]
    write_shd(tmp_path, events)

    dataset = SHD(tmp_path, n_time_steps=2)

    samples, steps, channels = np.nonzero(dataset.rasters)
    np.testing.assert_array_equal(samples, np.arange(600))
    assert not steps.any()
    np.testing.assert_array_equal(channels, np.arange(600))
    assert dataset.targets == [i % 20 for i in range(600)]


def test_a_file_without_samples(tmp_path: Path) -> None:
    write_shd(tmp_path, [])

    assert SHD(tmp_path).rasters_of([]).shape == (0, 100, 700)
    assert len(SHD(tmp_path)) == 0


def test_empty_samples_and_late_events_are_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = small_samples()
    nothing = (np.zeros(0, np.float16), np.zeros(0, np.uint16))
    samples[2] = samples[5] = nothing
    samples[3] = (np.array([0.5, 1.3994140625, 1.400390625, 1.5], np.float16), np.array([0, 1, 2, 3], np.uint16))
    path = write_shd(tmp_path, samples)

    with caplog.at_level(logging.WARNING, "avalanche_snn"):
        first = SHD(tmp_path)
    said = [record.getMessage() for record in caplog.records]
    caplog.clear()
    again = SHD(tmp_path)

    assert said == [
        f"{path}: 2 of 7 samples have no event at all: all-zero rasters",
        f"{path}: 2 events at or after 1400 ms are dropped (duration_ms)",
    ]
    assert not caplog.records
    for dataset in (first, again):
        assert (dataset.n_empty_samples, dataset.n_dropped_events) == (2, 2)
        assert not dataset.rasters[2].any()
        assert not dataset.rasters[5].any()
        assert dataset.rasters[3].sum() == 2


def test_nothing_is_fetched_when_the_files_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(tonic.datasets, "SHD", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    write_shd(tmp_path)
    write_shd(tmp_path, split="test")

    assert len(SHD(tmp_path)) == len(SHD(tmp_path, train=False)) == 7


def test_a_missing_file_that_may_not_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        SHD(tmp_path, train=False, download=False)

    message = str(caught.value)
    for part in (str(tmp_path / "SHD" / "shd_test.h5"), "download=True", "dataset_root=", "AVALANCHE_SNN_DATA"):
        assert part in message
    assert not (tmp_path / "SHD").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_channels": 300}, ValueError, "n_channels must divide the 700 units"),
        ({"n_time_steps": 0}, ValueError, "n_time_steps must be at least 1"),
        ({"n_time_steps": 10.5}, TypeError, "n_time_steps: a whole number was wanted, 10.5 came"),
        ({"duration_ms": -1}, ValueError, "duration_ms must be a positive time"),
        ({"duration_ms": "1400"}, TypeError, "duration_ms: a number of milliseconds was wanted, '1400' came"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_fetched(
    tmp_path: Path, options: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SHD(tmp_path, **options)

    assert not list(tmp_path.iterdir())


def test_a_cell_that_overflows_names_file_and_sample(tmp_path: Path) -> None:
    samples = small_samples()
    samples[4] = (np.full(300, 0.25, np.float16), np.full(300, 8, np.uint16))
    path = write_shd(tmp_path, samples)

    with pytest.raises(ValueError, match=rf"{path}, sample 4: .*300 fall in time step 17 of channel 8.*binary=True"):
        SHD(tmp_path)
    assert SHD(tmp_path, binary=True).rasters[4].sum() == 1


def test_a_pickle_is_small_and_opens_the_same_rasters(tmp_path: Path) -> None:
    write_shd(tmp_path, small_samples(40))
    dataset = SHD(tmp_path)

    pickled = pickle.dumps(dataset)

    assert len(pickled) < 2000
    for other in (pickle.loads(pickled), copy.deepcopy(dataset)):
        np.testing.assert_array_equal(other.rasters, dataset.rasters)
        assert other.targets == dataset.targets
        assert other.speakers.tolist() == dataset.speakers.tolist()
        assert (other.sha256, repr(other)) == (dataset.sha256, repr(dataset))
        assert torch.equal(other[11][0], dataset[11][0])
        assert not other.rasters.flags.writeable


def test_a_pickle_whose_rasters_are_changed_damaged_or_gone(tmp_path: Path) -> None:
    write_shd(tmp_path)
    pickled = pickle.dumps(SHD(tmp_path))
    write_shd(tmp_path, small_samples(seed=1))
    SHD(tmp_path)

    with pytest.raises(ValueError, match="now holds other rasters than when the data set was pickled"):
        pickle.loads(pickled)
    (file,) = (tmp_path / "SHD" / "rasters").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{file}: this pickled data set needs the file, but it is .* bytes long"):
        pickle.loads(pickled)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="this pickled data set needs the file, but it is gone"):
        pickle.loads(pickled)


def test_a_changed_file_is_binned_anew(tmp_path: Path) -> None:
    path = write_shd(tmp_path, small_samples(7, seed=0))
    before = SHD(tmp_path)
    status = path.stat()
    write_shd(tmp_path, small_samples(7, seed=1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    after = SHD(tmp_path)

    assert after.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != before.sha256
    np.testing.assert_array_equal(after.rasters[0], histogram(small_samples(7, seed=1)[0], 100, 1.4, 700))
    # Who still has the old rasters open goes on with them, and the new ones have taken their place on disk.
    np.testing.assert_array_equal(before.rasters[0], histogram(small_samples(7, seed=0)[0], 100, 1.4, 700))
    assert len(list((tmp_path / "SHD" / "rasters").iterdir())) == 1


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shd(tmp_path)

    def meddle(_: Path) -> str:
        os.utime(path, ns=(0, 0))
        return "0"

    monkeypatch.setattr("avalanche_snn.datasets.shd.sha256_of", meddle)

    with pytest.raises(ValueError, match=f"{path}: it was changed while it was being read"):
        SHD(tmp_path)
    assert not list((tmp_path / "SHD" / "rasters").iterdir())
