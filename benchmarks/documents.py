"""Everything that the bench writes into README and docs/results.md, from the records of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.ablations import markdown_ablations
from benchmarks.choice_table import markdown_choices
from benchmarks.choices import read_choices
from benchmarks.goals import markdown_goals
from benchmarks.growing_table import markdown_growing
from benchmarks.images.tables import FOLDER as IMAGES
from benchmarks.images.tables import REQUIRED as IMAGES_REQUIRED
from benchmarks.images.tables import markdown_images
from benchmarks.markers import Markers
from benchmarks.overview import markdown_overview
from benchmarks.protocol_table import FOLDER as PROTOCOL
from benchmarks.protocol_table import markdown_protocol
from benchmarks.records import RESULTS, all_records
from benchmarks.refusals import all_refusals
from benchmarks.sweeps.files import plans_for
from benchmarks.tables import markdown_tables

Parts = Mapping[str, str]
"""Texts in Markdown by the names of their markers."""

RESULTS_PART = "results"
"""The tables of every benchmark."""

_COMMAND = "python -m benchmarks table --write README.md docs/results.md"


def parts_of(results: Path = RESULTS) -> Parts:
    """Return tables, overview and all else for the records of a folder."""
    records, refusals, plans = list(all_records(results)), list(all_refusals(results)), plans_for(results)
    return {
        RESULTS_PART: markdown_tables(records, refusals, plans),
        "overview": markdown_overview(records, refusals, plans),
        "choices": markdown_choices(records, read_choices()),
        "goals": markdown_goals(records),
        "ablations": markdown_ablations(records),
        "protocol": markdown_protocol(all_records(results / PROTOCOL), plans_for(results / PROTOCOL)),
        "growing": markdown_growing(records),
        "images": markdown_images(all_records(results / IMAGES, required=IMAGES_REQUIRED)),
    }


def markers_of(name: str) -> Markers:
    """Return the markers of a part."""
    return Markers(name, _COMMAND)


def write_parts(parts: Parts, path: Path) -> None:
    """Put all parts between their markers in a Markdown file, as far as it has them.

    Raises:
        ValueError: the file has no markers.
    """
    path.write_text(replace_parts(path.read_text(encoding="utf-8"), parts), encoding="utf-8")


def replace_parts(document: str, parts: Parts) -> str:
    """Return a document with all parts between their markers, as far as it has them.

    Raises:
        ValueError: it has no markers.
    """
    found = {name: markers_of(name) for name in parts if markers_of(name).are_in(document)}
    if not found:
        wanted = ", ".join(repr(markers_of(name).begin) for name in parts)
        raise ValueError(f"The tables go between lines like {wanted} and those of their ends, which are missing.")
    for name, markers in found.items():
        document = markers.replace(document, parts[name])
    return document
