"""Options of strategies that were chosen on validation data: a file of data that runs take their defaults from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.files import write_json

CHOSEN = Path(__file__).parent / "chosen.json"


def read_choices(path: Path = CHOSEN) -> dict[str, Any]:
    """Return all choices: strategy -> its options, what chose them, and the accuracies that decided.

    Raises:
        ValueError: the file is not JSON.
    """
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no file of choices: {error}.") from error


def chosen_options(strategy: str, path: Path = CHOSEN) -> dict[str, Any]:
    """Return the options that were chosen for a strategy; none where nothing was."""
    return dict(read_choices(path).get(strategy, {}).get("options", {}))


def write_choice(strategy: str, choice: dict[str, Any], path: Path = CHOSEN) -> None:
    """Put a strategy's choice into the file, in the place of an earlier one."""
    choices = {**read_choices(path), strategy: choice}
    write_json(path, choices)
