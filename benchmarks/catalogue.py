"""Finding benchmarks and strategies: a file in a folder is all it takes to add one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import benchmarks
import strategies
from benchmarks.settings import Benchmark


def benchmark_names() -> list[str]:
    """Return the names of all benchmarks: the modules of this package that define `BENCHMARK`."""
    return sorted(_benchmarks())


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises:
        ValueError: there is none.
    """
    found = _benchmarks()
    if name not in found:
        raise ValueError(f"There is no benchmark {name!r}; there are {', '.join(sorted(found))}.")
    return found[name]


def strategy_names() -> list[str]:
    """Return the names of all strategies: the files in `strategies/`."""
    return sorted(module.name for module in pkgutil.iter_modules(strategies.__path__))


def find_strategy(name: str) -> ModuleType:
    """Return the module of a strategy, which has a function `build`.

    Raises:
        ValueError: there is none.
    """
    if name not in strategy_names():
        raise ValueError(f"There is no strategy {name!r}; there are {', '.join(strategy_names())}.")
    return importlib.import_module(f"strategies.{name}")


def options_of(strategy: str) -> dict[str, object]:
    """Return the options of a strategy's own and their defaults: the named keywords of its `build`."""
    parameters = inspect.signature(find_strategy(strategy).build).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name not in ("plugins", "seed")
    }


def takes_seed(strategy: str) -> bool:
    """Return whether a strategy draws random numbers of its own."""
    return "seed" in inspect.signature(find_strategy(strategy).build).parameters


def _benchmarks() -> dict[str, Benchmark]:
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("_") or module.ispkg:
            continue
        benchmark = getattr(importlib.import_module(f"benchmarks.{module.name}"), "BENCHMARK", None)
        if isinstance(benchmark, Benchmark):
            found[benchmark.name] = benchmark
    return found
