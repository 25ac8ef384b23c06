"""Pages of the documentation: their blocks, and what stands in them made small enough for a test."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = {path.relative_to(ROOT / "docs").as_posix(): path for path in sorted((ROOT / "docs").rglob("*.md"))}

_BLOCK = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
# As printed -> as a fast test runs it.
_SMALLER = {
    r"n_samples_per_class=\d+": "n_samples_per_class=12",
    r"train_epochs( ?= ?)\d+": r"train_epochs\g<1>1",
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is the content of ("" for none), and its text."""

    language: str
    title: str
    text: str


def blocks_in(path: Path) -> list[Block]:
    """Return the blocks of a file, in order."""
    text = path.read_text(encoding="utf-8")
    return [Block(found["language"], found["title"] or "", found["text"]) for found in _BLOCK.finditer(text)]


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page of the site, in order."""
    return blocks_in(PAGES[page])


def smaller(code: str) -> str:
    """Return code with less data and fewer epochs."""
    for pattern, replacement in _SMALLER.items():
        code = re.sub(pattern, replacement, code)
    return code


def write_files(page: str, folder: Path) -> None:
    """Write the blocks of a page that have a file's name for a title into a folder."""
    for block in blocks_of(page):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")


def run_python(page: str, *, small: bool) -> dict[str, Any]:
    """Run the Python of a page from top to bottom, in one namespace, which is returned."""
    names: dict[str, Any] = {"__name__": page}
    for number, block in enumerate(blocks_of(page)):
        if block.language == "python" and not block.title:
            code = smaller(block.text) if small else block.text
            exec(compile(code, f"{page}, block {number}", "exec"), names)
    return names


def bench_commands(text: str) -> list[list[str]]:
    """Return the arguments of every `python -m benchmarks` in lines of a shell."""
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [words[3:] for words in lines if words[1:3] == ["-m", "benchmarks"]]
