"""What each part of a configuration brings: runs on validation data, with one thing changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from avalanche_snn.training import parse_memory_size
from benchmarks.catalogue import find_benchmark
from benchmarks.configurations import find_configuration
from benchmarks.records import Record
from benchmarks.summaries import describe_strategy

_AS_IT_IS = "as it is"
_NOTHING = "None of these runs has a record yet."
_Accuracies = dict[str, list[float]]


def markdown_ablations(records: Iterable[Record]) -> str:
    """Return a table for each configuration, strategy and benchmark: what was changed, and the accuracy by memory.

    Only runs on validation data count, at full length. Behind each accuracy stands how far it is from that of the
    configuration as it is; the largest changes for the worse come first.
    """
    tables: dict[tuple[str, str, str, str], dict[str, _Accuracies]] = defaultdict(lambda: defaultdict(_new_row))
    for record in records:
        settings = record["settings"]
        if not settings.get("configuration") or settings["evaluate_on"] != "valid" or settings["quick"]:
            continue
        memory = settings["options"].get("memory", "")
        key = (settings["configuration"], record["strategy"], record["benchmark"], record["split"])
        tables[key][_what_is_changed(record)][memory].append(100 * record["final_accuracy"])
    return "\n\n".join(_table(*key, rows) for key, rows in sorted(tables.items())) or _NOTHING


def _new_row() -> _Accuracies:
    return defaultdict(list)


def _what_is_changed(record: Record) -> str:
    """Describe what tells a run from its configuration, memory apart."""
    settings = record["settings"]
    options = {name: value for name, value in settings["options"].items() if name != "memory"}

    def described(changed: dict[str, Any]) -> str:
        return describe_strategy(record["strategy"], changed, record["benchmark"], record["data"])

    bare = f"{record['strategy'].replace('_', ' ')} ({settings['configuration']}"
    label = described({**settings, "options": options}).removeprefix(bare).removesuffix(")")
    return label.removeprefix(", ") or _AS_IT_IS


def _table(configuration: str, strategy: str, benchmark: str, split: str, rows: dict[str, _Accuracies]) -> str:
    memories = sorted({memory for row in rows.values() for memory in row}, key=_bytes, reverse=True)
    usual = rows.get(_AS_IT_IS, {})
    title = find_configuration(configuration).title
    lines = [
        f"**{configuration}** ({title.lower()}), {strategy.replace('_', ' ')} - {find_benchmark(benchmark).title}, "
        f"{split} split, validation data",
        "",
        f"| changed | {' | '.join(f'{memory} (%)' for memory in memories)} |",
        "|---|" + "---|" * len(memories),
    ]
    changes = sorted((label for label in rows if label != _AS_IT_IS), key=lambda label: _distance(rows[label], usual))
    for label in ([_AS_IT_IS] if usual else []) + changes:
        cells = [_cell(rows[label].get(memory), usual.get(memory), label) for memory in memories]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _bytes(memory: str) -> float:
    n_bytes = parse_memory_size(memory) if memory else 0
    return float("inf") if n_bytes is None else n_bytes


def _distance(row: _Accuracies, usual: _Accuracies) -> float:
    return min((mean(row[memory]) - mean(usual[memory]) for memory in row if memory in usual), default=0.0)


def _cell(found: Sequence[float] | None, usual: Sequence[float] | None, label: str) -> str:
    if not found:
        return ""
    difference = f" ({mean(found) - mean(usual):+.1f})" if usual and label != _AS_IT_IS else ""
    return f"{mean(found):.1f}{difference}"
