"""Completing the settings of a run from what a user asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any

from avalanche_snn.training import format_memory_size, parse_memory_size
from benchmarks.catalogue import find_benchmark, options_of, parse_option, predicts_seen
from benchmarks.choices import CHOSEN, chosen_options
from benchmarks.configurations import find_configuration
from benchmarks.settings import RunPlan, Training

QUICK_STREAM = {"n_time_steps": 50, "n_channels": 70}
QUICK_NETWORK = {"hidden": [64, 48, 32]}
QUICK_SAMPLES_PER_CLASS = 36
QUICK_TRAINING = {"first_epochs": 3, "epochs": 2}
_OF_TRAINING = [setting.name for setting in fields(Training)]


def make_plan(
    benchmark: str,
    strategy: str,
    *,
    data: Any = "shd",
    seed: int = 0,
    split: str = "merged",
    options: dict[str, Any] | None = None,
    time_pooling: dict[str, str] | None = None,
    kernel: str | None = None,
    stream: dict[str, Any] | None = None,
    network: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    validation: float = 0.0,
    quick: bool = False,
    configuration: str | None = None,
) -> RunPlan:
    """Complete the settings of a run with those of its benchmark and the defaults of its strategy.

    A configuration has settings of its own, which come before those of the benchmark and after those that are given.

    A kernel is a setting only where it is named: otherwise each machine takes its fastest, and the record says which.
    Options that are not given are those that were chosen on validation data, if any were. Values of options may be text
    as it was typed.

    Raises:
        ValueError: no such benchmark, strategy, data or configuration, an option that the strategy does not have or
            not take, or training of no epochs or without a step.
    """
    chosen = find_benchmark(benchmark)
    usual = find_configuration(configuration)
    if data not in chosen.build:
        raise ValueError(f"Benchmark {benchmark!r} runs on {', '.join(chosen.build)}, but {data!r} came.")
    own = options_of(strategy)
    unknown = [name for name in options or {} if name not in own]
    if unknown:
        raise ValueError(
            f"Strategy {strategy!r} has no option {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(map(repr, own)) or 'none'}."
        )
    known = chosen_options(strategy)
    if stale := [name for name in known if name not in own]:
        raise ValueError(
            f"{CHOSEN} has an option {stale[0]!r} for strategy {strategy!r}, which it does not have: choose anew "
            f"with `python -m benchmarks tune --strategy {strategy}`, or take it out."
        )
    given = {name: parse_option(strategy, name, value) for name, value in (options or {}).items()}
    all_options = {**own, **known, **usual.options.get(strategy, {}), **given}
    if "memory" in all_options:
        # One size, one spelling: "160kB" and 160_000 are the same settings as "160 kB".
        all_options["memory"] = format_memory_size(parse_memory_size(all_options["memory"]))
    plan_stream = {**chosen.stream, **usual.stream, "split": split, **(QUICK_STREAM if quick else {}), **(stream or {})}
    if quick and data == "synthetic":
        plan_stream.setdefault("n_samples_per_class", QUICK_SAMPLES_PER_CLASS)
    if validation:
        plan_stream["validation"] = validation
    # The named model of a configuration is small enough as it is.
    small = QUICK_NETWORK if quick and "model" not in usual.network else {}
    plan_network = {**chosen.network, **usual.network, **small, **(network or {})}
    if time_pooling:
        plan_network["time_pooling"] = time_pooling
    if kernel is not None:
        plan_network["kernel"] = kernel
    if not 0 <= seed < 2**32:
        raise ValueError(f"A seed from 0 to 2**32 - 1 was wanted, {seed} came.")
    if strange := [name for name in training or {} if name not in _OF_TRAINING]:
        raise ValueError(f"There is no setting {strange[0]!r} of training; there are {', '.join(_OF_TRAINING)}.")
    plan_training = replace(
        chosen.training, **{**usual.training, **(QUICK_TRAINING if quick else {}), **(training or {})}
    )
    if predicts_seen(strategy):
        plan_training = replace(plan_training, predict="all")
    return RunPlan(
        benchmark,
        strategy,
        data,
        seed,
        plan_stream,
        plan_network,
        plan_training,
        all_options,
        evaluate_on="valid" if validation else "test",
        quick=quick,
        configuration=configuration,
    )


def make_plans(
    benchmarks: Sequence[str],
    strategies: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    options: Mapping[str, Sequence[Any]] | None = None,
    **common: Any,
) -> list[RunPlan]:
    """Plan every combination of what is given, each once.

    An option that only some of the strategies have is for those.

    Args:
        benchmarks: their names.
        strategies: their names.
        seeds: their numbers.
        options: of the strategies, name -> values.
        common: to all runs, as `make_plan` takes it.

    Returns:
        The plans, seed by seed: what is finished first can be compared first.

    Raises:
        ValueError: no such benchmark, strategy or data, or an option that none of the strategies has.
    """
    options = options or {}
    nowhere = {name for name in options if not any(name in options_of(strategy) for strategy in strategies)}
    plans = []
    for seed, benchmark, strategy in product(seeds, benchmarks, strategies):
        # What no strategy has is not left out: it is an error, which the first one says.
        names = [name for name in options if name in nowhere or name in options_of(strategy)]
        for values in product(*(options[name] for name in names)):
            own = dict(zip(names, values, strict=True))
            plans.append(make_plan(benchmark, strategy, seed=seed, options=own, **common))
    return list({plan.identifier: plan for plan in plans}.values())
