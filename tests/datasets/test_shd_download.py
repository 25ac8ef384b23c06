from __future__ import annotations

import shutil
import urllib.error
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tonic
from small_shd import write_shd

from avalanche_snn.datasets import SHD


@pytest.fixture
def tonic_downloads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any, Path], None]], None]:
    """Put something in the place of tonic's download: it gets tonic's data set and the folder to put files in."""

    def put(download: Callable[[Any, Path], None]) -> None:
        def replacement(dataset: Any) -> None:
            folder = Path(dataset.location_on_system)
            folder.mkdir(parents=True, exist_ok=True)
            download(dataset, folder)

        monkeypatch.setattr(tonic.dataset.Dataset, "download", replacement)

    return put


def refusal(root: Path) -> str:
    with pytest.raises(FileNotFoundError) as caught:
        SHD(root)
    message = str(caught.value)
    for part in (
        str(root / "SHD" / "shd_train.h5"),
        "could not be downloaded",
        "https://zenkelab.org/datasets/",
        "dataset_root=",
        "AVALANCHE_SNN_DATA",
    ):
        assert part in message
    return message


def test_what_tonic_fetches_is_used_and_kept(tmp_path: Path, tonic_downloads: Any) -> None:
    original = write_shd(tmp_path / "server", split="test")

    def fetch(dataset: Any, folder: Path) -> None:
        with zipfile.ZipFile(folder / dataset.filename, "w") as archive:
            archive.write(original, original.name)
        shutil.copy(original, folder)

    tonic_downloads(fetch)

    assert len(SHD(tmp_path, train=False)) == 7
    tonic_downloads(lambda *_: pytest.fail("fetched once more"))
    assert len(SHD(tmp_path, train=False)) == 7
    assert len(tonic.datasets.SHD(save_to=str(tmp_path), train=False)) == 7
    assert sorted(entry.name for entry in (tmp_path / "SHD").iterdir()) == ["rasters", "shd_test.h5", "shd_test.h5.zip"]


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("no route to host"),
        RuntimeError("File not found or corrupted."),
        zipfile.BadZipFile("not a zip file"),
        TimeoutError("timed out"),
    ],
)
def test_a_failed_download_leaves_nothing_behind(tmp_path: Path, tonic_downloads: Any, error: Exception) -> None:
    def fail_half_way(dataset: Any, folder: Path) -> None:
        (folder / dataset.filename).write_bytes(b"half")
        (folder / dataset.data_filename).write_bytes(b"half")
        raise error

    tonic_downloads(fail_half_way)

    assert type(error).__name__ in refusal(tmp_path)
    assert not list((tmp_path / "SHD").iterdir())


def test_an_interrupted_download_leaves_nothing_behind(tmp_path: Path, tonic_downloads: Any) -> None:
    def interrupt(dataset: Any, folder: Path) -> None:
        (folder / dataset.data_filename).write_bytes(b"half")
        raise KeyboardInterrupt

    tonic_downloads(interrupt)

    with pytest.raises(KeyboardInterrupt):
        SHD(tmp_path)
    assert not list((tmp_path / "SHD").iterdir())


def test_a_killed_download_is_not_taken_for_data(tmp_path: Path, tonic_downloads: Any) -> None:
    abandoned = tmp_path / "SHD" / ".download-1" / "SHD"
    abandoned.mkdir(parents=True)
    (abandoned / "shd_train.h5").write_bytes(b"half")

    with pytest.raises(FileNotFoundError, match=r"shd_train\.h5 is missing"):
        SHD(tmp_path, download=False)


def test_a_root_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "SHD").touch()

    assert "cannot be written to" in refusal(tmp_path)
