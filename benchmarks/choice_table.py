"""The table of what was tried on validation data, and what was chosen, made from the records and the choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.records import Record


def markdown_choices(records: Iterable[Record], choices: Mapping[str, Any]) -> str:
    """Return a row for each strategy that has something to choose: what was tried, how good it was, what was taken.

    Runs on validation data that were made beside a grid, to see how far it should reach, stand in the row too.

    Args:
        records: of runs; those on validation data count.
        choices: as `benchmarks.choices.read_choices` returns them.
    """
    lines = ["| strategy | tried: accuracy on validation data (%) | chosen |", "|---|---|---|"]
    known = [
        record
        for record in records
        if record["settings"]["evaluate_on"] == "valid" and not record["settings"].get("configuration")
    ]
    for strategy, choice in sorted(choices.items()):
        names = list(choice["options"])
        similar = [
            record
            for record in known
            if (record["strategy"], record["benchmark"], record["seed"])
            == (strategy, choice["benchmark"], choice["seed"])
        ]
        figures = {
            tuple(record["settings"]["options"][name] for name in names): 100 * record["final_accuracy"]
            for record in similar
        }
        tried = ", ".join(f"{_in_words(names, values)}: {figures[values]:.1f}" for values in sorted(figures))
        tied = " (all the same: the first)" if len({f"{figure:.2f}" for figure in figures.values()}) == 1 else ""
        lines.append(
            f"| {strategy.replace('_', ' ')} | {tried} | {_in_words(names, choice['options'].values())}{tied} |"
        )
    return "\n".join(lines)


def _in_words(names: Iterable[str], values: Iterable[Any]) -> str:
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in zip(names, values, strict=True)
    )
