"""Everything that the bench writes into README and docs/results.md, from the records of a folder."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ablations import markdown_ablations
from benchmarks.choice_table import markdown_choices
from benchmarks.choices import read_choices
from benchmarks.goals import markdown_goals
from benchmarks.overview import markdown_overview
from benchmarks.protocol_table import FOLDER as PROTOCOL
from benchmarks.protocol_table import markdown_protocol
from benchmarks.records import RESULTS, all_records
from benchmarks.refusals import all_refusals
from benchmarks.sweeps.files import plans_for
from benchmarks.tables import Parts, markdown_tables


def parts_of(results: Path = RESULTS) -> Parts:
    """Return tables, overview and all else for the records of a folder."""
    records, refusals, plans = list(all_records(results)), list(all_refusals(results)), plans_for(results)
    return Parts(
        tables=markdown_tables(records, refusals, plans),
        overview=markdown_overview(records, refusals, plans),
        choices=markdown_choices(records, read_choices()),
        goals=markdown_goals(records),
        ablations=markdown_ablations(records),
        protocol=markdown_protocol(all_records(results / PROTOCOL), plans_for(results / PROTOCOL)),
    )
