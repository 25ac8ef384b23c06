"""The record of a run of the bench: one JSON file, of which tables and figures are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.files import write_whole
from benchmarks.records import RESULTS
from benchmarks.speed.plan import SECTIONS

SpeedRecord = dict[str, Any]
#: Where the records are that README and figures show, one for each kind of device.
SPEED_RESULTS = RESULTS / "speed"


def write_speed_record(record: SpeedRecord, path: Path) -> None:
    """Write a record whole.

    Raises:
        ValueError: it has no sections that it could have, or others.
    """
    _check(record, path)
    write_whole(path, (json.dumps(record, indent=1) + "\n").encode())


def read_speed_record(path: Path) -> SpeedRecord:
    """Read a record.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not a record of this bench.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: `python -m benchmarks speed` measures and writes it")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not a record: {error}. Delete it and measure again.") from error
    _check(record, path)
    return dict(record)


def _check(record: Any, path: Path) -> None:
    known = isinstance(record, dict) and set(record) <= {"quick", *SECTIONS} and "quick" in record
    if not known or not all({"environment", "results"} <= set(record[name]) for name in SECTIONS if name in record):
        raise ValueError(
            f"{path}: wanted `quick` and any of {', '.join(SECTIONS)}, each with `environment` and `results`; "
            f"came {sorted(record) if isinstance(record, dict) else type(record).__name__}"
        )
