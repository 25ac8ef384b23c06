"""Finding benchmarks and strategies: a file in a folder is all it takes to add one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import Any

import benchmarks
import strategies
from benchmarks.settings import Benchmark


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_OF_TEXT: dict[str, Callable[[str], Any]] = {"bool": _truth, "int": int, "float": float, "str": str}


def benchmark_names() -> list[str]:
    """Return the names of all benchmarks: the modules of this package that define `BENCHMARK`."""
    return sorted(_benchmarks())


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises:
        ValueError: there is none.
    """
    # Tables ask thousands of times: a file that has been read is not looked for again.
    known = getattr(sys.modules.get(f"{benchmarks.__name__}.{name}"), "BENCHMARK", None)
    if isinstance(known, Benchmark) and known.name == name:
        return known
    found = _benchmarks()
    if name not in found:
        raise ValueError(f"There is no benchmark {name!r}; there are {', '.join(sorted(found))}.")
    return found[name]


def strategy_names() -> list[str]:
    """Return the names of all strategies: the files in `strategies/`, but for those of a leading underscore."""
    names = (module.name for module in pkgutil.iter_modules(strategies.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def find_strategy(name: str) -> ModuleType:
    """Return the module of a strategy, which has a function `build`.

    Raises:
        ValueError: there is none.
    """
    known = None if name.startswith("_") else sys.modules.get(f"{strategies.__name__}.{name}")
    if known is not None:
        return known
    if name not in strategy_names():
        raise ValueError(f"There is no strategy {name!r}; there are {', '.join(strategy_names())}.")
    return importlib.import_module(f"strategies.{name}")


def options_of(strategy: str) -> dict[str, object]:
    """Return the options of a strategy's own and their defaults: what its `build` takes behind model and optimizer."""
    _, _, *behind = _parameters_of(find_strategy(strategy).build).values()
    return {
        parameter.name: parameter.default
        for parameter in behind
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD and parameter.name not in ("plugins", "seed")
    }


def parse_option(strategy: str, name: str, value: Any) -> Any:
    """Return the value of an option in the type that the strategy takes; it comes as text, or as another number.

    The type is that of the option's default, or one of those of its annotation, the first that fits.

    Raises:
        ValueError: the text is none of its types.
    """
    default = options_of(strategy)[name]
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if not isinstance(value, str):
        return value
    annotation = _parameters_of(find_strategy(strategy).build)[name].annotation
    kinds = (
        [kind.strip() for kind in annotation.split("|")] if isinstance(annotation, str) else [type(default).__name__]
    )
    for kind in kinds:
        with suppress(KeyError, ValueError):
            return _OF_TEXT[kind](value)
    raise ValueError(f"Option {name!r} of strategy {strategy!r} must be {' or '.join(kinds)}, but {value!r} came.")


def why_not(strategy: str, benchmark: str) -> str | None:
    """Return why a strategy cannot run on a benchmark, as its file says in `CANNOT_RUN`; None if it can.

    `CANNOT_RUN` is a reason for all benchmarks, or one for each that it names.
    """
    reasons = getattr(find_strategy(strategy), "CANNOT_RUN", None)
    reason = reasons.get(benchmark) if isinstance(reasons, Mapping) else reasons
    return None if reason is None else str(reason)


def predicts_seen(strategy: str) -> bool:
    """Return whether a strategy can tell no class that has not come, by itself or since there is none."""
    file = find_strategy(strategy)
    return bool(getattr(file, "PREDICTS_SEEN_CLASSES", False) or getattr(file, "LEARNS_JOINTLY", False))


def takes_seed(strategy: str) -> bool:
    """Return whether a strategy draws random numbers of its own."""
    return "seed" in _parameters_of(find_strategy(strategy).build)


@cache
def _parameters_of(build: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(build).parameters


def _benchmarks() -> dict[str, Benchmark]:
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("_") or module.ispkg:
            continue
        benchmark = getattr(importlib.import_module(f"benchmarks.{module.name}"), "BENCHMARK", None)
        if isinstance(benchmark, Benchmark):
            found[benchmark.name] = benchmark
    return found
