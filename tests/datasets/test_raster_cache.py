from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_shd import small_samples, write_shd

from avalanche_snn.datasets import SHD
from avalanche_snn.datasets.raster_cache import (
    DATA_OFFSET,
    DamagedCacheError,
    RasterFile,
    RasterSummary,
    RasterWriter,
    open_or_build,
    open_rasters,
)

# Processes that have imported everything already.
FORK = multiprocessing.get_context("fork")
RASTERS = np.random.default_rng(0).integers(0, 4, (5, 6, 7), dtype=np.uint8)
TARGETS, SPEAKERS = np.array([3, 1, 4, 1, 5]), np.array([9, 2, 6, 5, 3])


def build(writer: RasterWriter) -> RasterSummary:
    writer.append(RASTERS[:2])
    writer.append(RASTERS[2:])
    return RasterSummary(targets=TARGETS, speakers=SPEAKERS, facts={"sha256": "abc"})


def build_never(_: RasterWriter) -> RasterSummary:
    raise AssertionError("built once more")


def open_in(*folders: Path, build: Any = build, key: Any = None, state: Any = None) -> RasterFile:
    return open_or_build(
        "small", key=key or {"n_time_steps": 6}, state=state or {"size": 1}, folders=folders, build=build
    )


def assert_whole(file: RasterFile) -> None:
    np.testing.assert_array_equal(file.rasters, RASTERS)
    np.testing.assert_array_equal(file.summary.targets, TARGETS)
    np.testing.assert_array_equal(file.summary.speakers, SPEAKERS)
    assert file.summary.facts == {"sha256": "abc"}


def test_built_once_and_opened_afterwards(tmp_path: Path) -> None:
    first = open_in(tmp_path / "new" / "folder")
    again = open_in(tmp_path / "new" / "folder", build=build_never)

    assert_whole(first)
    assert_whole(again)
    assert first.path == again.path
    assert isinstance(again.rasters.base, np.ndarray), "a view of the mapped file, not a copy"
    assert not again.rasters.flags.writeable
    assert list(first.path.parent.iterdir()) == [first.path]


def test_no_byte_changes_unnoticed(tmp_path: Path) -> None:
    path = open_in(tmp_path).path
    whole = path.read_bytes()
    assert len(whole) == DATA_OFFSET + RASTERS.size + 2 * 8 * 5

    for position in [
        *range(0, 500, 7),
        *range(500, DATA_OFFSET, 149),
        *range(DATA_OFFSET, len(whole), 2),
        *range(len(whole) - 9, len(whole), 2),
    ]:
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(DamagedCacheError):
            open_rasters(path)


def test_no_truncation_goes_unnoticed(tmp_path: Path) -> None:
    path = open_in(tmp_path).path
    whole = path.read_bytes()

    for length in [*range(0, len(whole), 97), DATA_OFFSET - 1, DATA_OFFSET, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedCacheError):
            open_rasters(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(DamagedCacheError, match=f"{len(whole) + 1} bytes long instead of {len(whole)}"):
        open_rasters(path)


@pytest.mark.parametrize("damage", ["truncated", "a flipped bit", "emptied", "another format"])
def test_a_damaged_file_is_built_anew_and_said(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = open_in(tmp_path).path
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[DATA_OFFSET + 17] ^= 4
    damaged = {"truncated": whole[:-1], "a flipped bit": bytes(flipped), "emptied": b"", "another format": b"x" * 9999}
    path.write_bytes(damaged[damage])

    with caplog.at_level(logging.WARNING, "avalanche_snn"):
        assert_whole(open_in(tmp_path))

    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path} is damaged (")
    assert path.read_bytes() == whole
    assert_whole(open_in(tmp_path, build=build_never))


def test_a_flipped_byte_in_the_rasters_of_shd(tmp_path: Path) -> None:
    write_shd(tmp_path)
    before = SHD(tmp_path)
    (path,) = (tmp_path / "SHD" / "rasters").iterdir()
    expected = before.rasters.copy()
    with path.open("r+b") as file:
        file.seek(DATA_OFFSET + 123_456)
        file.write(b"\xff")

    np.testing.assert_array_equal(SHD(tmp_path).rasters, expected)


def test_another_key_is_another_file(tmp_path: Path) -> None:
    one = open_in(tmp_path, key={"n_time_steps": 6, "binary": False})
    other = open_in(tmp_path, key={"n_time_steps": 6, "binary": True})

    assert one.path != other.path
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "changes", [{"n_time_steps": 50}, {"duration_ms": 1401.0}, {"n_channels": 350}, {"binary": True}]
)
def test_every_parameter_of_binning_counts(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_shd(tmp_path)
    SHD(tmp_path)

    changed = SHD(tmp_path, **changes)

    assert len(list((tmp_path / "SHD" / "rasters").iterdir())) == 2
    fresh = tmp_path / "fresh"
    write_shd(fresh)
    np.testing.assert_array_equal(changed.rasters, SHD(fresh, **changes).rasters)


def test_another_state_replaces_the_file(tmp_path: Path) -> None:
    before = open_in(tmp_path, state={"size": 1, "mtime_ns": 1})

    def build_zeros(writer: RasterWriter) -> RasterSummary:
        writer.append(RASTERS * 0)
        return RasterSummary(targets=TARGETS, speakers=SPEAKERS, facts={})

    after = open_in(tmp_path, state={"size": 1, "mtime_ns": 2}, build=build_zeros)

    assert after.path == before.path
    assert not after.rasters.any()
    assert_whole(before)


@pytest.mark.parametrize("error", [ValueError("sample 3 is damaged"), KeyboardInterrupt()])
def test_an_interrupted_build_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def build_half(writer: RasterWriter) -> RasterSummary:
        writer.append(RASTERS[:2])
        raise error

    with pytest.raises(type(error)):
        open_in(tmp_path, build=build_half)

    assert not list(tmp_path.iterdir())


def die_half_way(folder: Path) -> None:
    def build(writer: RasterWriter) -> RasterSummary:
        writer.append(RASTERS[:2])
        writer._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    open_in(folder, build=build)


def test_a_writer_killed_half_way_leaves_nothing_that_counts(tmp_path: Path) -> None:
    killed = FORK.Process(target=die_half_way, args=(tmp_path,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    (partial,) = tmp_path.iterdir()
    assert partial.stat().st_size > 0

    assert_whole(open_in(tmp_path))
    assert partial.exists(), "it could be of a writer that is still at work"

    an_hour_ago = time.time() - 3700
    os.utime(partial, (an_hour_ago, an_hour_ago))
    assert_whole(open_in(tmp_path, state={"size": 2}))
    assert not partial.exists()


def open_at_once(root: Path, me: str, results: Connection) -> None:
    (root / f"ready{me}").touch()
    while len(list(root.glob("ready*"))) < 2:
        time.sleep(0.001)
    dataset = SHD(root)
    results.send((int(dataset.rasters.sum()), dataset.sha256))


def test_two_processes_at_once(tmp_path: Path) -> None:
    write_shd(tmp_path, small_samples(300))
    pipes = {me: FORK.Pipe(duplex=False) for me in "ab"}
    processes = [FORK.Process(target=open_at_once, args=(tmp_path, me, theirs)) for me, (_, theirs) in pipes.items()]
    for process in processes:
        process.start()
    outputs = [ours.recv() for ours, _ in pipes.values() if ours.poll(120)]
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    dataset = SHD(tmp_path)
    expected = (sum(len(times) for times, _ in small_samples(300)), dataset.sha256)
    assert outputs == [expected, expected]
    assert [entry.suffix for entry in (tmp_path / "SHD" / "rasters").iterdir()] == [".rasters"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked, spare = tmp_path / "blocked", tmp_path / "spare"
    blocked.touch()

    with caplog.at_level(logging.WARNING, "avalanche_snn"):
        file = open_in(blocked, spare)
    (record,) = caplog.records
    again = open_in(blocked, spare, build=build_never)

    assert_whole(file)
    assert_whole(again)
    assert file.path.parent == spare
    assert record.getMessage().startswith(f"binned rasters are kept in {spare}, because these cannot be written to: ")
    assert str(blocked) in record.getMessage()
    assert len(caplog.records) == 1, "said once"


def test_shd_falls_back_to_the_users_cache(tmp_path: Path, user_cache: Path) -> None:
    write_shd(tmp_path)
    (tmp_path / "SHD" / "rasters").touch()

    dataset = SHD(tmp_path)

    assert len(list((user_cache / "rasters").iterdir())) == 1
    assert dataset.rasters.sum() == sum(len(times) for times, _ in small_samples())


def test_no_folder_at_all(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.touch()

    with pytest.raises(OSError, match=r"no folder to keep the binned rasters in: tried .*blocked.*XDG_CACHE_HOME"):
        open_in(blocked, build=build_never)
