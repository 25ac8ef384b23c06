"""The site is built without a warning, and has every public name."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT

ROOMS = sorted(path.parent.name for path in (ROOT / "avalanche_snn").glob("*/__init__.py"))
_FROM_ELSEWHERE = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"')


def build(folder: Path) -> dict[str, str]:
    """Build the site into a folder; return the HTML of each page."""
    # Not --quiet: it keeps warnings from --strict too.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        page: (folder / page.removesuffix(".md").removesuffix("index") / "index.html").read_text(encoding="utf-8")
        for page in PAGES
    }


def test_the_site(tmp_path: Path) -> None:
    """One test: the processes of a test run would each build a site of their own."""
    pytest.importorskip("mkdocs", reason="the site needs pip install -e '.[docs]'")
    pytest.importorskip("mkdocstrings", reason="the site needs pip install -e '.[docs]'")
    pytest.importorskip("material", reason="the site needs pip install -e '.[docs]'")
    html = build(tmp_path)

    (figure,) = re.findall(r'src="(figures/[^"]+\.png)"', html["index.md"])
    assert (tmp_path / figure).read_bytes() == (ROOT / "benchmarks" / "results" / figure).read_bytes()

    for room in ROOMS:
        prefix = f"avalanche_snn.{room}."
        names = re.findall(rf'id="{re.escape(prefix)}(\w+)"', html[f"reference/{room}.md"])
        assert set(names) == set(importlib.import_module(prefix.rstrip(".")).__all__)

    for page, text in html.items():
        assert not _FROM_ELSEWHERE.findall(text), f"{page} fetches something from elsewhere"


def test_every_room_has_a_reference_page() -> None:
    assert sorted(page for page in PAGES if page.startswith("reference/")) == [f"reference/{r}.md" for r in ROOMS]
