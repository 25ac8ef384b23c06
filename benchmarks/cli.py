"""The command line: `python -m benchmarks run|table|plot|demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.catalogue import benchmark_names, strategy_names
from benchmarks.demo import demo
from benchmarks.plans import make_plan
from benchmarks.plots import plot_records
from benchmarks.pretraining import CACHE
from benchmarks.records import RESULTS, all_records
from benchmarks.runner import run
from benchmarks.settings import Training
from benchmarks.tables import markdown_tables, write_tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.carry_out(parsed))
    except (ValueError, TypeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(parsed: argparse.Namespace) -> int:
    torch.set_num_threads(parsed.threads)
    options = {name: getattr(parsed, name) for name in ("memory", "codec", "after", "selection")}
    training_names = ("first_epochs", "epochs", "first_learning_rate", "learning_rate", "loss")
    training = {name: getattr(parsed, name) for name in training_names}
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
    record = run(plan, parsed.results, again=parsed.again, cache=parsed.networks)
    print(f"{parsed.results / plan.identifier}.json")
    print(
        f"{record['data_name']}, {record['split']} split, {plan.strategy}, seed {plan.seed}: "
        f"final accuracy {100 * record['final_accuracy']:.2f} % on the {plan.evaluate_on} stream, "
        f"memory {record['memory_bytes']} bytes, working {record['working_bytes']} bytes, {record['seconds']:.0f} s"
    )
    return 0


def _table(parsed: argparse.Namespace) -> int:
    tables = markdown_tables(list(all_records(parsed.results)))
    print(tables)
    if parsed.readme is not None:
        write_tables(tables, parsed.readme)
    return 0


def _plot(parsed: argparse.Namespace) -> int:
    for path in plot_records(list(all_records(parsed.results)), parsed.output or parsed.results / "figures"):
        print(path)
    return 0


def _demo(parsed: argparse.Namespace) -> int:
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
        "--loss", choices=("seen", "all"), help=f"cross-entropy over which classes (default {Training.loss})"
    )
    run.add_argument(
        "--validation", type=float, default=0.0, metavar="FRACTION",
        help="hold out this fraction of the training data and evaluate on it instead of the test stream",
    )  # fmt: skip
    run.add_argument(
        "--threads", type=int, default=1, help="of torch (default 1: two runs side by side beat two threads)"
    )
    run.add_argument("--again", action="store_true", help="repeat the run even if its record is there")
    run.add_argument("--results", type=Path, default=RESULTS, help="folder of records")
    run.add_argument("--networks", type=Path, default=CACHE, help="folder of networks trained on experience 0")
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
