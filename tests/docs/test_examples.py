"""The example scripts and the notebook run, at tiny size."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
from pages import ROOT, smaller

EXAMPLES = ROOT / "examples"


def run_script(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_latent_replay(reader: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--samples", "12", "--first-epochs", "1", "--epochs", "1", "--memory", "10 kB"]
    run_script("latent_replay.py", arguments, monkeypatch)
    last = capsys.readouterr().out.splitlines()[-1]
    said = re.fullmatch(r"[\d.]+% on all words, with (\d+) exemplars in (\d+) bytes", last)
    assert said is not None, last
    n_exemplars, n_bytes = map(int, said.groups())
    # 25 time steps of 128 neurons are 400 bytes; 20 words have 24 bytes of bookkeeping each.
    assert n_bytes == 400 * n_exemplars + 20 * 24 <= 10_000 < n_bytes + 400


def test_compare_at_equal_memory(
    reader: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--classes", "4", "--samples", "12", "--first-epochs", "1", "--epochs", "1"]
    run_script("compare_at_equal_memory.py", ["--memory", "2 kB", *sizes], monkeypatch)
    head, _, *rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    table = {cells[2]: cells[3:] for cells in (re.split(r"\s*\|\s*", row) for row in rows)}
    assert "kept (bytes)" in head
    assert int(table["nothing kept"][1]) == 0
    assert table["rasters"][0].startswith("n/a: A memory of 2000 bytes is too small")
    for name in ("latents", "latents, rice", "latents, any/2 in the memory", "latents, any/2 in the path"):
        assert 0 < int(table[name][1]) <= 2000


def test_the_notebook(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads((EXAMPLES / "first_steps.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {"__name__": "first_steps"}
    for number, cell in enumerate(cells):
        exec(compile(smaller(cell), f"first_steps.ipynb, code cell {number}", "exec"), names)
    assert len(names["seen"]) == len(names["benchmark"].train_stream)


def test_the_notebook_is_kept_without_what_it_printed() -> None:
    notebook = json.loads((EXAMPLES / "first_steps.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
