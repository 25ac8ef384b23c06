"""Reading a sweep: a TOML file of series, each a cross product of benchmarks, strategies, options and seeds.

    title = "What it is for"
    records = "own"                           # if wanted: a folder of their own, so that they are in no table

    [common]                                  # for every series; a series may say otherwise
    seeds = [0, 1, 2]
    training = { first_epochs = 40, epochs = 10 }

    [[series]]
    benchmarks = ["multi_class_incremental"]
    strategies = ["compressed_latent_replay"]
    options = { memory = ["160 kB", "16 kB"], codec = "rice" }
    time_pooling = { hidden2 = "any/5" }
    streams = [{ n_pretrain_classes = 5 }, { n_pretrain_classes = 10 }]

Keys of a series are those of `benchmarks.plans.make_plans`: benchmarks and strategies (needed), seeds, options (one
value or several), data, split, configuration, time_pooling, kernel, stream, network, training, validation, quick;
and streams, a list of what `stream` has one of, each of which is run.
Strategies may be "all": every file of `strategies/`. Series are in order of their worth: an earlier one is finished
before a later one begins, and a run that several ask for is carried out once.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.catalogue import strategy_names
from benchmarks.plans import make_plans
from benchmarks.records import RESULTS
from benchmarks.settings import RunPlan

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
_TABLES = ("options", "time_pooling", "stream", "network", "training")
_LISTS = ("benchmarks", "strategies", "seeds")
_VALUES = ("data", "split", "configuration", "kernel", "validation", "quick")
_STREAMS = "streams"
_NEEDED = ("benchmarks", "strategies")
_KEYS = (*_LISTS, *_TABLES, *_VALUES, _STREAMS)
ALL = "all"


@dataclass(frozen=True)
class Sweep:
    """What a file asks for.

    Attributes:
        title: for people.
        plans: the runs, each once, the most valuable first.
        folder: of their records, within that of all others, for a study of its own; None for the bench's records.
    """

    title: str
    plans: tuple[RunPlan, ...]
    folder: str | None = None

    def results(self, of_the_bench: Path) -> Path:
        """Return where the records are, or will be."""
        return of_the_bench / self.folder if self.folder else of_the_bench


def sweep_names(folder: Path = FOLDER) -> list[str]:
    """Return the names of the sweeps of a folder."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def find_sweep(name: str, folder: Path = FOLDER) -> Path:
    """Return the file of a sweep that is given by its name, or by the path of a file of one's own.

    Raises:
        FileNotFoundError: there is neither.
    """
    for path in (folder / f"{name}.toml", Path(name)):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"There is no sweep {name!r}: give the path of a TOML file, or one of {', '.join(sweep_names(folder))}."
    )


def read_sweep(path: Path) -> Sweep:
    """Read a sweep and plan its runs.

    Raises:
        ValueError: it is not TOML, has keys or values that there are not, or plans no run.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}.") from error
    _check_keys(content, ("title", "records", "common", "series"), path, "the file")
    common, series = content.get("common", {}), content.get("series", [])
    if not isinstance(common, dict) or not isinstance(series, list) or not all(isinstance(s, dict) for s in series):
        raise ValueError(f"{path}: wanted a table [common] and tables [[series]], came something else under the names.")
    _check_keys(common, _KEYS, path, "[common]")
    own_folder = content.get("records")
    if own_folder is not None and (not isinstance(own_folder, str) or Path(own_folder).name != own_folder):
        raise ValueError(f"{path}: records was wanted as the name of a folder, like 'own', but {own_folder!r} came.")
    plans: dict[str, RunPlan] = {}
    for number, own in enumerate(series, start=1):
        for plan in _plans_of(common, own, path, f"series {number}"):
            plans.setdefault(plan.identifier, plan)
    if not plans:
        raise ValueError(f"{path} plans no run: it has no [[series]].")
    return Sweep(str(content.get("title", path.stem)), tuple(plans.values()), own_folder)


def plans_for(results: Path, folder: Path = FOLDER) -> list[RunPlan]:
    """Return the runs that the bench's sweeps plan and whose records stand, or will stand, in a folder; each once.

    Args:
        results: the folder of records; no sweep plans for a folder that is not the bench's.
        folder: of the sweeps.
    """
    sweeps = [read_sweep(find_sweep(name, folder)) for name in sweep_names(folder)]
    plans = [plan for sweep in sweeps if sweep.results(RESULTS).resolve() == results.resolve() for plan in sweep.plans]
    return list({plan.identifier: plan for plan in plans}.values())


def _plans_of(common: dict[str, Any], own: dict[str, Any], path: Path, where: str) -> list[RunPlan]:
    _check_keys(own, _KEYS, path, where)
    series = {**common, **own}
    for name in _TABLES:  # of two tables, the series' own entries count where both have them
        parts = [part[name] for part in (common, own) if name in part]
        if not all(isinstance(part, dict) for part in parts):
            raise ValueError(f"{path}, {where}: {name} was wanted as a table, like {{ name = value }}.")
        if parts:
            series[name] = {key: value for part in parts for key, value in part.items()}
    missing = [name for name in _NEEDED if name not in series]
    if missing:
        raise ValueError(f"{path}, {where}: {' and '.join(missing)} missing.")
    if series["strategies"] == ALL:
        series["strategies"] = strategy_names()
    for name in _LISTS:
        if name in series and not isinstance(series[name], list):
            series[name] = [series[name]]
    streams = series.pop(_STREAMS, [{}])
    if not isinstance(streams, list) or not streams or not all(isinstance(stream, dict) for stream in streams):
        raise ValueError(f"{path}, {where}: streams was wanted as a list of tables, like [{{ new_class = 3 }}].")
    options = {name: value if isinstance(value, list) else [value] for name, value in series.pop("options", {}).items()}
    benchmarks, strategies, stream = series.pop("benchmarks"), series.pop("strategies"), series.pop("stream", {})
    try:
        return [
            plan
            for own_stream in streams
            for plan in make_plans(benchmarks, strategies, options=options, stream={**stream, **own_stream}, **series)
        ]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}, {where}: {error}") from error


def _check_keys(table: dict[str, Any], known: tuple[str, ...], path: Path, where: str) -> None:
    unknown = [name for name in table if name not in known]
    if unknown:
        raise ValueError(f"{path}, {where}: there is no {', '.join(map(repr, unknown))}; there are {', '.join(known)}.")
