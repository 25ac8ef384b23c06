from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import tonic

from avalanche_snn.datasets import SHD
from avalanche_snn.datasets.shd_file import SHDFile

ROOT = Path(os.environ.get("AVALANCHE_SNN_DATA", "nowhere"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "SHD" / "shd_train.h5").is_file() or not (ROOT / "SHD" / "shd_test.h5").is_file(),
        reason="needs the real SHD: AVALANCHE_SNN_DATA names no folder that holds SHD/shd_train.h5 and shd_test.h5",
    ),
]


@pytest.fixture(scope="module")
def own_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real files seen from another folder, so that the first binning can be watched."""
    root = tmp_path_factory.mktemp("real")
    (root / "SHD").mkdir()
    for name in ("shd_train.h5", "shd_test.h5"):
        (root / "SHD" / name).symlink_to(ROOT.absolute() / "SHD" / name)
    return root


def test_the_whole_of_it(own_root: Path) -> None:
    started = time.process_time()
    train, test = SHD(own_root, download=False), SHD(own_root, train=False, download=False)
    binning_s = time.process_time() - started
    started = time.process_time()
    SHD(own_root, download=False), SHD(own_root, train=False, download=False)
    opening_s = time.process_time() - started

    assert (len(train), len(test)) == (8156, 2264)
    assert set(train.speakers) == {0, 1, 2, 3, 6, 7, 8, 9, 10, 11}
    assert set(test.speakers) == set(range(12))
    assert set(train.targets) == set(test.targets) == set(range(20))
    assert train.class_names[1] == "one"
    assert train.class_names[11] == "eins"
    cells = np.count_nonzero(train.rasters) + np.count_nonzero(test.rasters)
    assert cells / (train.rasters.size + test.rasters.size) == pytest.approx(0.076, abs=0.003)
    assert train.n_empty_samples == test.n_empty_samples == 0
    assert binning_s < 60
    assert opening_s < 2


def test_it_equals_tonics_reading(own_root: Path) -> None:
    (own_root / "SHD" / "shd_test.h5.zip").touch()
    to_frame = tonic.transforms.ToFrame(sensor_size=(700, 1, 1), time_window=14_000, start_time=0, end_time=1_400_000)
    theirs = tonic.datasets.SHD(save_to=str(own_root), train=False, transform=to_frame)
    ours = SHD(own_root, train=False, download=False)

    for sample in range(0, len(ours), 75):
        frames, target = theirs[sample]
        np.testing.assert_array_equal(ours.rasters[sample], frames[:, 0])
        assert ours.targets[sample] == target


def test_every_event_is_in_a_raster_or_counted_as_dropped(own_root: Path) -> None:
    test = SHD(own_root, train=False, n_time_steps=50, duration_ms=700.0, n_channels=140, download=False)

    with SHDFile(own_root / "SHD" / "shd_test.h5") as file:
        n_events = sum(len(times_s) for times_s, _ in file.events())
    assert int(test.rasters.sum(dtype=np.int64)) + test.n_dropped_events == n_events
    assert test.n_dropped_events > 0
