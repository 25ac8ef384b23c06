"""Figures of the records on the pages of the site: taken from where they are drawn, not kept twice.

Pages name a figure by its place in the repository, so that they can be read there too.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_IN_THE_REPOSITORY = "../benchmarks/results/figures/"
_FIGURES = Path(__file__).parents[2] / "benchmarks" / "results" / "figures"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every figure as `figures/<its path>`."""
    for path in sorted(_FIGURES.rglob("*.png")):
        name = (Path("figures") / path.relative_to(_FIGURES)).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let a page of the site name figures by their place on the site."""
    return markdown.replace(_IN_THE_REPOSITORY, "figures/")
