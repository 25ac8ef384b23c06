from __future__ import annotations

from pathlib import Path

import pytest
from avalanche.benchmarks.datasets import default_dataset_location
from small_shd import write_shd

from avalanche_snn.datasets import SHD, dataset_root


def test_the_argument_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALANCHE_SNN_DATA", str(tmp_path / "from_environment"))

    assert dataset_root(tmp_path / "asked_for") == tmp_path / "asked_for"
    assert dataset_root() == tmp_path / "from_environment"


@pytest.mark.parametrize("value", [None, ""])
def test_avalanches_own_folder_comes_last(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("AVALANCHE_SNN_DATA", raising=False)
    else:
        monkeypatch.setenv("AVALANCHE_SNN_DATA", value)

    assert dataset_root() / "SHD" == Path(default_dataset_location("SHD")).absolute()


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AVALANCHE_SNN_DATA", "~/from_environment")

    assert dataset_root("~/asked_for") == tmp_path / "asked_for"
    assert dataset_root() == tmp_path / "from_environment"


def test_a_relative_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert dataset_root("data") == tmp_path / "data"


def test_an_empty_argument_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a folder was wanted, '' came"):
        dataset_root("")


def test_shd_looks_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shd(tmp_path)
    monkeypatch.setenv("AVALANCHE_SNN_DATA", str(tmp_path))

    assert len(SHD(download=False)) == 7
