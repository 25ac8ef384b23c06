"""Records brought together: one summary for all seeds of the same settings."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, stdev
from typing import Any

from benchmarks.catalogue import find_benchmark, find_strategy, options_of, predicts_seen
from benchmarks.configurations import find_configuration
from benchmarks.records import Record
from benchmarks.settings import Settings, Training


@dataclass(frozen=True)
class Summary:
    """What the runs of one configuration gave.

    Attributes:
        benchmark, strategy, data_name, split: as in the records.
        label: the strategy with those of its options that tell it from others, for people.
        records: one a seed, in the order of the seeds.
    """

    benchmark: str
    strategy: str
    data_name: str
    split: str
    label: str
    records: tuple[Record, ...]

    @property
    def epochs(self) -> tuple[int, int]:
        """Epochs on the first experience and on each later one."""
        return epochs_of(self.records[0]["settings"])

    @property
    def stream(self) -> str:
        """What of the stream is not as usual, see `unusual_stream`."""
        record = self.records[0]
        return unusual_stream(record["settings"], self.benchmark, record["data"])

    @property
    def title(self) -> str:
        """Benchmark, data set and split, for people."""
        return f"{title_of(self.benchmark, self.stream)} - {self.data_name}, {self.split} split"

    @property
    def keeps_memory(self) -> bool:
        """Whether bytes between experiences mean anything: joint training has only one."""
        return not getattr(find_strategy(self.strategy), "LEARNS_JOINTLY", False)

    def percent(self, values: Iterable[float]) -> str:
        """Write accuracies 0..1 of the seeds in percent, with the standard deviation where there are several."""
        return mean_and_spread([100 * value for value in values])

    @property
    def is_usual_length(self) -> bool:
        """Whether it was trained for as many epochs as its benchmark has by default, or its configuration."""
        return self.epochs == usual_epochs(self.benchmark, self.records[0]["settings"].get("configuration"))

    @property
    def final_accuracy(self) -> float:
        """Mean over seeds, 0..1."""
        return float(mean(record["final_accuracy"] for record in self.records))

    @property
    def spread(self) -> float:
        """Standard deviation of the final accuracy over seeds, in percent; 0 for one seed."""
        return _spread([100 * record["final_accuracy"] for record in self.records])

    @property
    def memory_bytes(self) -> float:
        """Mean over seeds."""
        return float(mean(record["memory_bytes"] for record in self.records))


def summarise(records: Iterable[Record]) -> list[Summary]:
    """Group records of the same settings; shortened runs and runs on validation data are left out."""
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        settings = record["settings"]
        if settings["quick"] or settings["evaluate_on"] != "test":
            continue
        names = tuple(record[name] for name in ("benchmark", "data_name", "split", "strategy"))
        key = (*names, json.dumps(settings, sort_keys=True))
        groups[key].append(record)
    summaries = []
    for (benchmark, data_name, split, strategy, _), members in groups.items():
        members.sort(key=lambda record: record["seed"])
        summaries.append(Summary(benchmark, strategy, data_name, split, label_of(members[0]), tuple(members)))
    return sorted(summaries, key=lambda s: (s.benchmark, s.data_name, s.split, s.stream, s.epochs, s.final_accuracy))


def best_first(summaries: Iterable[Summary]) -> list[str]:
    """Return the labels in the order of their mean accuracy over the benchmarks that they were run on."""
    of_label: dict[str, list[float]] = defaultdict(list)
    for summary in summaries:
        of_label[summary.label].append(summary.final_accuracy)
    return sorted(of_label, key=lambda label: (-mean(of_label[label]), label))


def epochs_of(settings: Settings) -> tuple[int, int]:
    """Return the epochs on the first experience and on each later one."""
    training = settings["training"]
    return training["first_epochs"], training["epochs"]


def usual_epochs(benchmark: str, configuration: str | None = None) -> tuple[int, int]:
    """Return the epochs that a benchmark has by default, or under a configuration."""
    training = replace(find_benchmark(benchmark).training, **find_configuration(configuration).training)
    return training.first_epochs, training.epochs


def unusual_stream(settings: Settings, benchmark: str, data: str = "shd") -> str:
    """Say what of a stream is not as its benchmark has it, like "n_experiences=5": what is measured on another stream.

    Nothing where all is as usual, and on generated data, where nothing is usual. The split is said elsewhere.
    """
    usual = find_benchmark(benchmark).stream if data == "shd" else {}
    return ", ".join(_unusual({k: v for k, v in settings["stream"].items() if k in usual}, usual))


def title_of(benchmark: str, stream: str) -> str:
    """Return the title of a benchmark whose stream is as usual ("") or is not (as `unusual_stream` says)."""
    title = find_benchmark(benchmark).title
    return f"{title.partition(',')[0]}, {stream}" if stream else title


def label_of(record: Record) -> str:
    """Describe a run's strategy, with whatever tells its settings from the usual ones of its benchmark."""
    return describe_strategy(record["strategy"], record["settings"], record["benchmark"], record["data"])


def describe_strategy(strategy: str, settings: Settings, benchmark: str, data: str = "shd") -> str:
    """Describe a strategy under some settings on a benchmark, as `label_of` does.

    Its name, that of its configuration, where it keeps what under which code, other options than its defaults, the
    pooling in the path, and whatever of stream, network and training is not as usual; but for epochs, which tables are
    divided by. On generated data nothing is usual. What a configuration has is usual under it.
    """
    options, network = settings["options"], settings["network"]
    configuration = find_configuration(settings.get("configuration"))
    parts = [configuration.name] if configuration.name else []
    usual_options = {**options_of(strategy), **configuration.options.get(strategy, {})}
    said: tuple[str, ...] = ("memory",) if configuration.name else ("after", "memory", "codec")
    parts += [str(options[name]) for name in ("after", "memory") if name in options and name in said]
    if "codec" in options and "codec" in said:
        parts.append(f"{options['codec']} in the memory")
    parts += _unusual(options, usual_options, but=said)
    usual_pooling = configuration.network.get("time_pooling", {})
    pooling = (network.get("time_pooling") or {}).items()
    parts += [f"{spec} in the path after {layer}" for layer, spec in pooling if usual_pooling.get(layer) != spec]
    if "kernel" in network:
        parts.append(f"kernel {network['kernel']}")
    if data == "shd":
        usual = find_benchmark(benchmark)
        parts += _unusual(network, {**usual.network, **configuration.network}, but=("time_pooling", "kernel"))
        usual_training = {**asdict(usual.training), **configuration.training}
        # Records leave out what is as it always was, which need not be usual under a configuration.
        training = {**asdict(Training()), **settings["training"]}
        # A strategy that can tell nothing else is in nothing unlike the others.
        as_usual = ("predict",) if predicts_seen(strategy) else ()
        parts += _unusual(training, usual_training, but=("first_epochs", "epochs", *as_usual))
    if stream := unusual_stream(settings, benchmark, data):
        parts.append(stream)
    name = strategy.replace("_", " ")
    return f"{name} ({', '.join(parts)})" if parts else name


def _unusual(settings: Mapping[str, Any], usual: Mapping[str, Any], but: Sequence[str] = ()) -> list[str]:
    # Records come with their entries sorted, plans in the order of the strategy's options: they are the same.
    return [f"{k}={v}" for k, v in sorted(settings.items()) if k not in but and v != usual.get(k)]


def mean_and_spread(values: Sequence[float]) -> str:
    """Write the mean, with the standard deviation where there are several."""
    return f"{mean(values):.1f}{spread_behind(values)}"


def spread_behind(values: Sequence[float]) -> str:
    """Write the standard deviation as it stands behind a mean; nothing of a single value."""
    return f" ± {_spread(values):.1f}" if len(values) > 1 else ""


def _spread(values: Sequence[float]) -> float:
    """Return the standard deviation, 0 of a single value."""
    return stdev(values) if len(values) > 1 else 0.0
