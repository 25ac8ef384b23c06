"""Figures of the records as pages of the site: taken from where they are drawn, not kept twice."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_FIGURES = Path(__file__).parents[2] / "benchmarks" / "results" / "figures"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every figure as `figures/<its path>`."""
    for path in sorted(_FIGURES.rglob("*.png")):
        name = (Path("figures") / path.relative_to(_FIGURES)).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files
