"""What runs will cost, from what recorded ones took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.records import Record
from benchmarks.runner import shared_network
from benchmarks.settings import RunPlan, Settings, digest_of

_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Cost:
    """Seconds that runs will take, one after the other.

    Attributes:
        of_runs: identifier -> seconds without those of a network that is shared; only of runs that records tell of.
        of_networks: name of a network, as `shared_network` has it -> seconds of its training.
        unknown: identifiers of runs that no record tells of.
    """

    of_runs: Mapping[str, float]
    of_networks: Mapping[str, float]
    unknown: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """All that is known."""
        return sum(self.of_runs.values()) + sum(self.of_networks.values())

    def describe(self, n_jobs: int) -> str:
        """Say it in a line, for so many runs side by side."""
        if not self.of_runs:
            return "no record tells what these runs take"
        rest = f", and {len(self.unknown)} runs that no record tells of" if self.unknown else ""
        return f"about {in_words(self.seconds / n_jobs)} with {n_jobs} at a time{rest}"


def estimate(plans: Sequence[RunPlan], records: Iterable[Record]) -> Cost:
    """Estimate what runs take: as long as the most similar ones that are recorded, for each of their epochs.

    Similar are, in this order: the same settings with another seed; the same strategy on the same benchmark, whatever
    its settings; any strategy on the same benchmark. A network that several runs share is trained once.

    Args:
        plans: the runs.
        records: of this machine or one like it.
    """
    known = [record for record in records if record["seconds"] > 0]
    rates = [_Rates(known, key) for key in (_same_settings, _same_strategy, _same_benchmark)]
    of_runs, of_networks, unknown = {}, {}, []
    for plan in plans:
        shared = shared_network(plan)
        training = plan.settings["training"]
        rate = next((found for found in (r.of_plan(plan) for r in rates) if found is not None), None)
        if rate is None:
            unknown.append(plan.identifier)
            continue
        n_later = training["epochs"] if shared is not None else training["first_epochs"] + training["epochs"]
        of_runs[plan.identifier] = rate.later * n_later
        if shared is not None:
            of_networks[shared] = rate.first * training["first_epochs"]
    return Cost(of_runs, of_networks, tuple(unknown))


def in_words(seconds: float) -> str:
    """Write a duration as people say it: "40 s", "12 min", "3 h 20 min"."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    hours, minutes = divmod(round(seconds / _MINUTE), 60)
    return f"{hours} h {minutes} min"


@dataclass(frozen=True)
class _Rate:
    """Seconds an epoch on the first experience, and for each epoch that all later ones have."""

    first: float
    later: float


class _Rates:
    """Mean rates of records that have the same key."""

    def __init__(self, records: Sequence[Record], key: Callable[[str, str, str, Settings], object]) -> None:
        self._key = key
        groups: dict[object, list[_Rate]] = defaultdict(list)
        for record in records:
            of_record = key(record["benchmark"], record["data"], record["strategy"], record["settings"])
            groups[of_record].append(_rate_of(record))
        self._groups = groups

    def of_plan(self, plan: RunPlan) -> _Rate | None:
        rates = self._groups.get(self._key(plan.benchmark, plan.data, plan.strategy, plan.settings))
        if rates is None:
            return None
        firsts = [rate.first for rate in rates if rate.first > 0]
        return _Rate(mean(firsts) if firsts else 0.0, mean(rate.later for rate in rates))


def _rate_of(record: Record) -> _Rate:
    training, first = record["settings"]["training"], record.get("first_seconds", 0.0)
    n_later = training["epochs"] if first else training["first_epochs"] + training["epochs"]
    return _Rate(first / training["first_epochs"] if first else 0.0, (record["seconds"] - first) / max(1, n_later))


def _same_settings(benchmark: str, data: str, strategy: str, settings: Settings) -> object:
    return benchmark, data, strategy, digest_of(settings)


def _same_strategy(benchmark: str, data: str, strategy: str, settings: Settings) -> object:
    return benchmark, data, strategy, settings["quick"]


def _same_benchmark(benchmark: str, data: str, strategy: str, settings: Settings) -> object:
    return benchmark, data, settings["quick"]
