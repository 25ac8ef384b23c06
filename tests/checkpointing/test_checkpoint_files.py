"""Files: whole or not there, of this version, and never a way to run code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpointed_runs import compose

from avalanche_snn.checkpointing import load, resume
from avalanche_snn.checkpointing.files import FORMAT, VERSION, read_checkpoint, write_checkpoint


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["torch", "old torch", "pickle"])
def test_no_code_in_a_file_is_run(kind: str, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "c"
    content = {"format": FORMAT, "version": VERSION, "state": Malicious(victim)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "torch")
    for go_on in (load, resume):
        with pytest.raises(ValueError, match="holds more than tensors and plain data, which is refused"):
            go_on(path, *compose("naive"))
    assert not victim.exists()
    # The same file read carelessly does what it was made for.
    pickle.loads(path.read_bytes()) if kind == "pickle" else torch.load(path, weights_only=False)
    assert victim.exists()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "c"
    write_checkpoint(path, {"state": {"tensor": torch.arange(3), 4: [(1.5, None), b"x"]}})
    state = read_checkpoint(path)["state"]
    assert state["tensor"].tolist() == [0, 1, 2]
    assert state[4] == [(1.5, None), b"x"]
    assert os.listdir(path.parent) == ["c"]


@pytest.mark.parametrize("at", ["save", "fsync", "replace"])
def test_a_failure_leaves_the_old_file(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, {"state": 1})

    def full(*args: Any) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(torch if at == "save" else os, at, full)
    with pytest.raises(OSError, match="disk is full"):
        write_checkpoint(path, {"state": 2})
    assert read_checkpoint(path)["state"] == 1
    assert os.listdir(tmp_path) == ["c"]


def test_the_data_are_on_disk_before_they_have_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("replace"), replace(*paths)))
    write_checkpoint(tmp_path / "c", {})
    assert order == ["sync", "replace", "sync"]


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    for name in (".c.123.partial", ".c.4.partial", ".other.5.partial"):
        (tmp_path / name).write_bytes(b"half")
    resume(tmp_path / "c", *compose("naive"))
    assert os.listdir(tmp_path) == [".other.5.partial"]


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no zip", bytes(range(256)) * 9])
def test_other_and_damaged_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        read_checkpoint(path)


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", {"state": torch.arange(1000)})
    os.truncate(tmp_path / "c", (tmp_path / "c").stat().st_size // 2)
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "c")


def test_weights_alone_are_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "c")
    with pytest.raises(ValueError, match=r"not written by avalanche_snn\.checkpointing"):
        read_checkpoint(tmp_path / "c")


def test_another_version(tmp_path: Path) -> None:
    torch.save({"format": FORMAT, "version": 99}, tmp_path / "c")
    with pytest.raises(ValueError, match=r"has version 99 .* reads version 2"):
        read_checkpoint(tmp_path / "c")
