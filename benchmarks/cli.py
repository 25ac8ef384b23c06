"""The command line: `python -m benchmarks run|table|plot|demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from avalanche_snn.training import format_memory_size, parse_memory_size
from benchmarks.catalogue import benchmark_names, find_benchmark, options_of, strategy_names
from benchmarks.records import RESULTS, all_records
from benchmarks.settings import RunPlan, Training

QUICK_STREAM = {"n_time_steps": 50, "n_channels": 70}
QUICK_NETWORK = {"hidden": [64, 48, 32]}
QUICK_SAMPLES_PER_CLASS = 36
QUICK_TRAINING = {"first_epochs": 3, "epochs": 2}


def make_plan(
    benchmark: str,
    strategy: str,
    *,
    data: Any = "shd",
    seed: int = 0,
    split: str = "merged",
    options: dict[str, Any] | None = None,
    time_pooling: dict[str, str] | None = None,
    stream: dict[str, Any] | None = None,
    network: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    validation: float = 0.0,
    quick: bool = False,
) -> RunPlan:
    """Complete the settings of a run with those of its benchmark and the defaults of its strategy.

    Raises:
        ValueError: no such benchmark, strategy or data, or an option that the strategy does not have.
    """
    chosen = find_benchmark(benchmark)
    if data not in chosen.build:
        raise ValueError(f"Benchmark {benchmark!r} runs on {', '.join(chosen.build)}, but {data!r} came.")
    own = options_of(strategy)
    unknown = [name for name in options or {} if name not in own]
    if unknown:
        raise ValueError(
            f"Strategy {strategy!r} has no option {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(map(repr, own)) or 'none'}."
        )
    chosen_options = {**own, **(options or {})}
    if "memory" in chosen_options:
        # One size, one spelling: "160kB" and 160_000 are the same settings as "160 kB".
        chosen_options["memory"] = format_memory_size(parse_memory_size(chosen_options["memory"]))
    plan_stream = {**chosen.stream, "split": split, **(QUICK_STREAM if quick else {}), **(stream or {})}
    if quick and data == "synthetic":
        plan_stream.setdefault("n_samples_per_class", QUICK_SAMPLES_PER_CLASS)
    if validation:
        plan_stream["validation"] = validation
    plan_network = {**chosen.network, **(QUICK_NETWORK if quick else {}), **(network or {})}
    if time_pooling:
        plan_network["time_pooling"] = time_pooling
    plan_training = replace(chosen.training, **{**(QUICK_TRAINING if quick else {}), **(training or {})})
    return RunPlan(
        benchmark,
        strategy,
        data,
        seed,
        plan_stream,
        plan_network,
        plan_training,
        chosen_options,
        evaluate_on="valid" if validation else "test",
        quick=quick,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.carry_out(parsed))
    except (ValueError, TypeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(parsed: argparse.Namespace) -> int:
    from benchmarks.runner import run

    torch.set_num_threads(parsed.threads)
    options = {name: getattr(parsed, name) for name in ("memory", "codec", "after", "selection")}
    training = {
        name: getattr(parsed, name) for name in ("first_epochs", "epochs", "first_learning_rate", "learning_rate")
    }
    plan = make_plan(
        parsed.benchmark,
        parsed.strategy,
        data=parsed.data,
        seed=parsed.seed,
        split=parsed.split,
        options={name: value for name, value in options.items() if value is not None},
        time_pooling=dict(pair.split("=", maxsplit=1) for pair in parsed.time_pooling),
        training={name: value for name, value in training.items() if value is not None},
        validation=parsed.validation,
        quick=parsed.quick,
    )
    record = run(plan, parsed.results, again=parsed.again)
    print(f"{parsed.results / plan.identifier}.json")
    print(
        f"{record['data_name']}, {record['split']} split, {plan.strategy}, seed {plan.seed}: "
        f"final accuracy {100 * record['final_accuracy']:.2f} % on the {plan.evaluate_on} stream, "
        f"memory {record['memory_bytes']} bytes, working {record['working_bytes']} bytes, {record['seconds']:.0f} s"
    )
    return 0


def _table(parsed: argparse.Namespace) -> int:
    from benchmarks.tables import markdown_tables, write_tables

    tables = markdown_tables(list(all_records(parsed.results)))
    print(tables)
    if parsed.readme is not None:
        write_tables(tables, parsed.readme)
    return 0


def _plot(parsed: argparse.Namespace) -> int:
    from benchmarks.plots import plot_records

    for path in plot_records(list(all_records(parsed.results)), parsed.output or parsed.results / "figures"):
        print(path)
    return 0


def _demo(parsed: argparse.Namespace) -> int:
    from benchmarks.demo import demo

    torch.set_num_threads(parsed.threads)
    return demo(parsed.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="carry out one run and write its record")
    run.add_argument("benchmark", choices=benchmark_names())
    run.add_argument("--strategy", choices=strategy_names(), required=True)
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--data", choices=("shd", "synthetic"), default="shd")
    run.add_argument("--split", choices=("merged", "official"), default="merged")
    run.add_argument(
        "--quick", action="store_true", help="a small network, coarse rasters, few epochs: to try things out"
    )
    run.add_argument("--memory", help='budget of the memory, like "160 kB"')
    run.add_argument("--codec", help="how the memory stores exemplars: bits, rice, any/10, any/10/middle, count/10")
    run.add_argument("--after", help="last layer of the frozen front")
    run.add_argument("--selection", choices=("random", "herding"), help="which samples are kept")
    run.add_argument(
        "--time-pooling", action="append", default=[], metavar="LAYER=SPEC", help="pool in the path: hidden2=any/5"
    )
    run.add_argument("--first-epochs", type=int, help=f"on the first experience (default {Training.first_epochs})")
    run.add_argument("--epochs", type=int, help=f"on each later experience (default {Training.epochs})")
    run.add_argument("--first-learning-rate", type=float, help=f"(default {Training.first_learning_rate})")
    run.add_argument("--learning-rate", type=float, help=f"on later experiences (default {Training.learning_rate})")
    run.add_argument(
        "--validation", type=float, default=0.0, metavar="FRACTION",
        help="hold out this fraction of the training data and evaluate on it instead of the test stream",
    )  # fmt: skip
    run.add_argument(
        "--threads", type=int, default=1, help="of torch (default 1: two runs side by side beat two threads)"
    )
    run.add_argument("--again", action="store_true", help="repeat the run even if its record is there")
    run.add_argument("--results", type=Path, default=RESULTS, help="folder of records")
    run.set_defaults(carry_out=_run)

    table = commands.add_parser("table", help="print the tables of all records, and write them into README.md")
    table.add_argument("--results", type=Path, default=RESULTS)
    table.add_argument("--readme", type=Path, default=None, help="a file with table markers, usually README.md")
    table.set_defaults(carry_out=_table)

    plot = commands.add_parser("plot", help="draw the figures of all records")
    plot.add_argument("--results", type=Path, default=RESULTS)
    plot.add_argument("--output", type=Path, default=None, help="folder of the figures")
    plot.set_defaults(carry_out=_plot)

    demo = commands.add_parser("demo", help="the main job on generated data: a few minutes, a table and a picture")
    demo.add_argument("--output", type=Path, default=Path("demo"))
    demo.add_argument("--threads", type=int, default=1)
    demo.set_defaults(carry_out=_demo)
    return parser
