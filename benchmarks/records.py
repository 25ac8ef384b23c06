"""Records of runs: one JSON file a run, whole or not there at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.files import write_json

RESULTS = Path(__file__).parent / "results"
REQUIRED = (
    "benchmark",
    "strategy",
    "seed",
    "data",
    "data_sha256",
    "split",
    "settings",
    "final_accuracy",
    "accuracy_matrix",
    "memory_bytes",
    "working_bytes",
    "seconds",
    "versions",
)
Record = dict[str, Any]


def write_record(record: Record, path: Path) -> None:
    """Write a record so that an interruption leaves the old file or the new one, never a part.

    Raises:
        ValueError: a required entry is missing.
    """
    missing = [name for name in REQUIRED if name not in record]
    if missing:
        raise ValueError(f"A record needs {', '.join(REQUIRED)}; {', '.join(missing)} missing in {path.name}.")
    write_json(path, record)


def read_record(path: Path, required: Sequence[str] = REQUIRED) -> Record:
    """Read a record.

    Args:
        path: of the file.
        required: entries that it must have.

    Raises:
        ValueError: it is not JSON, or a required entry is missing.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not a record: {error}. Delete it and run again.") from error
    missing = [name for name in required if not isinstance(record, dict) or name not in record]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}. Delete it and run again.")
    return dict(record)


def all_records(folder: Path = RESULTS, required: Sequence[str] = REQUIRED) -> Iterator[Record]:
    """Yield every record of a folder, in the order of the file names; each must have the required entries."""
    for path in sorted(folder.glob("*.json")):
        yield read_record(path, required)
