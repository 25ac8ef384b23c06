"""Strategies on continual benchmarks, from runs to tables and figures: `python -m benchmarks COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from avalanche_snn.neurons.kernels import KERNELS
from avalanche_snn.training.selection import SELECTIONS
from benchmarks.catalogue import benchmark_names, options_of, strategy_names
from benchmarks.choices import CHOSEN
from benchmarks.configurations import CONFIGURATIONS
from benchmarks.demo import demo
from benchmarks.documents import RESULTS_PART, parts_of, write_parts
from benchmarks.gallery import make_gallery, plot_galleries
from benchmarks.images.command import add_images
from benchmarks.jobs import INTERRUPTED, Carrier, carry_out, print_failures
from benchmarks.plans import make_plans
from benchmarks.plots import plot_records
from benchmarks.pretraining import CACHE
from benchmarks.processes import USER_ERRORS, check_cores, is_meant_for_users
from benchmarks.records import RESULTS, Record, all_records, read_record
from benchmarks.runner import record_path
from benchmarks.settings import RunPlan, Training
from benchmarks.sources import source_digest
from benchmarks.speed.command import add_speed
from benchmarks.sweeps.command import add_sweep
from benchmarks.tuning import BENCHMARK, SEED, VALIDATION, tune, tuning_plans

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

#: Exit status, as shells report a command whose output nobody reads.
CUT_OFF = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        status = int(parsed.carry_out(parsed))
        sys.stdout.flush()
    except USER_ERRORS as error:
        if not is_meant_for_users(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Who read what is printed has seen enough (`| head`); Python would say at its end that it cannot be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF
    return status


def _run(parsed: argparse.Namespace) -> int:
    check_cores(parsed.jobs, parsed.threads)
    plans = _plans(parsed)
    carrier = Carrier(parsed.results, parsed.networks, parsed.threads, parsed.jobs, parsed.again)
    try:
        return _run_one(plans[0], carrier) if len(plans) == 1 else _run_series(plans, carrier)
    except KeyboardInterrupt:
        rest = "repeats them all" if parsed.again else "goes on from there"
        print(f"interrupted: what was finished has its record; the same command {rest}", file=sys.stderr)
        return INTERRUPTED


def _run_one(plan: RunPlan, carrier: Carrier) -> int:
    path = record_path(plan, carrier.results)
    was_there = path.exists() and not carrier.again
    record = replace(carrier, n_jobs=1)(plan)
    print(path)
    print(
        f"{record['data_name']}, {record['split']} split, {plan.strategy}, seed {plan.seed}: "
        f"{_figures(plan, record)}{_not_repeated(record) if was_there else ''}"
    )
    return 0


def _run_series(plans: Sequence[RunPlan], carrier: Carrier) -> int:
    recorded = [] if carrier.again else [plan for plan in plans if record_path(plan, carrier.results).exists()]
    for plan in recorded:
        record = read_record(record_path(plan, carrier.results))
        print(f"{_in_a_line(plan, record)}{_not_repeated(record)}")
    waiting = [plan for plan in plans if plan not in recorded]
    failures = carry_out(waiting, carrier, _in_a_line)
    n_finished = len(waiting) - len(failures)
    print(f"{len(plans)} runs: {n_finished} finished, {len(recorded)} had a record, {len(failures)} failed")
    print_failures(failures)
    return 1 if failures else 0


def _not_repeated(record: Record) -> str:
    changed = "" if record.get("source") == source_digest() else " though the code has changed: --again repeats it"
    return f" (has a record, not repeated{changed})"


def _plans(parsed: argparse.Namespace) -> list[RunPlan]:
    own = {name: getattr(parsed, name) for name in ("codec", "after", "selection")}
    options = {name: [value] for name, value in own.items() if value is not None}
    if parsed.memory is not None:
        options["memory"] = parsed.memory
    for name, values in _own_options(parsed.option).items():
        if name in options:
            raise ValueError(f"--option {name}: there is --{name} for that, and both came.")
        options[name] = values
    training_names = ("first_epochs", "epochs", "first_learning_rate", "learning_rate", "loss")
    training = {name: getattr(parsed, name) for name in training_names}
    plans = make_plans(
        parsed.benchmark,
        parsed.strategy,
        seeds=parsed.seed,
        options=options,
        data=parsed.data,
        split=parsed.split,
        time_pooling=dict(_layer_and_spec(pair) for pair in parsed.time_pooling),
        kernel=parsed.kernel,
        training={name: value for name, value in training.items() if value is not None},
        validation=parsed.validation,
        quick=parsed.quick,
        configuration=parsed.configuration,
    )
    for name in options:
        without = [strategy for strategy in parsed.strategy if name not in options_of(strategy)]
        if without:
            print(f"{', '.join(without)}: no option {name!r}, run once without it", file=sys.stderr)
    return plans


def _layer_and_spec(pair: str) -> tuple[str, str]:
    layer, equals, spec = pair.partition("=")
    if not (layer and equals and spec):
        raise ValueError(f"--time-pooling wants LAYER=SPEC, as in hidden2=any/5; {pair!r} came.")
    return layer, spec


def _own_options(groups: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Return the values of each option, from `NAME=VALUE VALUE ...` as it was typed.

    Raises:
        ValueError: no name, or a name that came before.
    """
    options: dict[str, list[str]] = {}
    for first, *more in groups:
        name, equals, value = first.partition("=")
        if not equals or not name or not value:
            raise ValueError(f"--option wants NAME=VALUE, with more values behind it if there are any; {first!r} came.")
        if name in options:
            raise ValueError(f"--option {name} came twice: give all its values at once, as in {name}=1 2 3.")
        options[name] = [value, *more]
    return options


def _tune(parsed: argparse.Namespace) -> int:
    check_cores(parsed.jobs, parsed.threads)
    if parsed.chosen == CHOSEN and (parsed.quick or parsed.data != "shd"):
        raise ValueError("The bench's own choices are made on SHD, at full length: give a file of your own, --chosen.")
    carrier = Carrier(parsed.results, parsed.networks, parsed.threads, parsed.jobs)
    common = {"data": parsed.data, "quick": parsed.quick, "validation": parsed.validation}
    for strategy in parsed.strategy:
        try:
            chosen = tune(strategy, tuning_plans(strategy, **common), carrier, _in_a_line, parsed.chosen)
        except KeyboardInterrupt:
            print("interrupted: what was finished has its record; the same command goes on from there", file=sys.stderr)
            return INTERRUPTED
        values = ", ".join(f"{name}={value}" for name, value in chosen.items())
        print(f"{strategy}: {values}, written to {parsed.chosen}")
    return 0


def _in_a_line(plan: RunPlan, record: Record) -> str:
    return f"{plan.identifier}: {_figures(plan, record)}"


def _figures(plan: RunPlan, record: Record) -> str:
    return (
        f"final accuracy {100 * record['final_accuracy']:.2f} % on the {plan.evaluate_on} stream, "
        f"memory {record['memory_bytes']} bytes, working {record['working_bytes']} bytes, {record['seconds']:.0f} s"
    )


def _table(parsed: argparse.Namespace) -> int:
    _say_if_empty(parsed.results)
    parts = parts_of(parsed.results)
    print(parts[RESULTS_PART])
    for path in parsed.write:
        write_parts(parts, path)
    return 0


def _say_if_empty(results: Path) -> None:
    """Say where no table or figure has anything to show.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not results.is_dir():
        raise FileNotFoundError(f"There is no folder {results}: `python -m benchmarks run ... --results` makes one.")
    # The first record that tables show is enough to know.
    if all(record["settings"]["quick"] for record in all_records(results)):
        has_any = next(results.glob("*.json"), None) is not None
        what = "records of quick runs alone, which are in no table" if has_any else "no records"
        print(f"{results} has {what}", file=sys.stderr)


def _plot(parsed: argparse.Namespace) -> int:
    _say_if_empty(parsed.results)
    folder = parsed.output or parsed.results / "figures"
    for path in plot_records(list(all_records(parsed.results)), folder):
        print(path)
    for path in plot_galleries(parsed.results, folder):
        print(path)
    return 0


def _demo(parsed: argparse.Namespace) -> int:
    check_cores(1, parsed.threads)
    torch.set_num_threads(parsed.threads)
    return demo(parsed.output)


def _gallery(parsed: argparse.Namespace) -> int:
    make_gallery(parsed.data, parsed.results / "gallery" / f"{parsed.data}.json", networks=parsed.networks)
    return _plot(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_run, _add_tune, _add_table, _add_plot, _add_demo, _add_gallery, add_sweep, add_speed, add_images):
        add(commands)
    return parser


def _add_run(commands: _Commands) -> None:
    run = commands.add_parser(
        "run",
        help="carry out runs and write their records",
        description="Carry out every combination of the benchmarks, strategies, memories and seeds that are given. "
        "Runs that have a record are not repeated, so an interrupted series goes on where it stopped.",
    )
    run.add_argument("benchmark", nargs="+", choices=benchmark_names())
    run.add_argument("--strategy", nargs="+", choices=strategy_names(), required=True)
    run.add_argument("--seed", nargs="+", type=int, default=[0])
    run.add_argument("--data", choices=("shd", "synthetic"), default="shd")
    run.add_argument("--split", choices=("merged", "official"), default="merged")
    run.add_argument(
        "--quick", action="store_true", help="a small network, coarse rasters, few epochs: to try things out"
    )
    run.add_argument(
        "--configuration", choices=CONFIGURATIONS, help="network, training and options that belong together, by name"
    )
    run.add_argument("--memory", nargs="+", help='budgets of the memory, like "160 kB"; for strategies that have one')
    run.add_argument("--codec", help="how the memory stores exemplars: bits, rice, any/10, any/10/middle, count/10")
    run.add_argument("--after", help="last layer of the frozen front")
    run.add_argument("--selection", choices=SELECTIONS, help="which samples are kept")
    run.add_argument(
        "--option", nargs="+", action="append", default=[], metavar=("NAME=VALUE", "VALUE"),
        help="an option of a strategy's own, each value a run: --option strength=1 10; for strategies that have it",
    )  # fmt: skip
    run.add_argument(
        "--time-pooling", action="append", default=[], metavar="LAYER=SPEC", help="pool in the path: hidden2=any/5"
    )
    run.add_argument("--kernel", choices=KERNELS, help="of the layers of neurons (default: the fastest that runs here)")
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
        "--jobs", type=int, default=1, metavar="N", help="runs side by side, each in a process of its own (default 1)"
    )
    run.add_argument(
        "--threads", type=int, default=1, help="of torch in each job (default 1: two jobs beat two threads)"
    )
    run.add_argument("--again", action="store_true", help="repeat runs even if their records are there")
    run.add_argument("--results", type=Path, default=RESULTS, help="folder of records")
    run.add_argument("--networks", type=Path, default=CACHE, help="folder of networks trained on experience 0")
    run.set_defaults(carry_out=_run)


def _add_tune(commands: _Commands) -> None:
    tune = commands.add_parser(
        "tune",
        help="choose strategies' options on validation data",
        description=f"Run every combination of a strategy's GRID on {BENCHMARK} with seed {SEED}, evaluated on data "
        "that is held out of training, and write down the best: later runs take it as their default.",
    )
    tune.add_argument("--strategy", nargs="+", choices=strategy_names(), required=True)
    tune.add_argument("--data", choices=("shd", "synthetic"), default="shd")
    tune.add_argument("--quick", action="store_true", help="a small network, coarse rasters, few epochs")
    tune.add_argument(
        "--validation", type=float, default=VALIDATION, metavar="FRACTION", help=f"held out (default {VALIDATION})"
    )
    tune.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side (default 1)")
    tune.add_argument("--threads", type=int, default=1, help="of torch in each job (default 1)")
    tune.add_argument("--results", type=Path, default=RESULTS, help="folder of records")
    tune.add_argument("--networks", type=Path, default=CACHE, help="folder of networks trained on experience 0")
    tune.add_argument("--chosen", type=Path, default=CHOSEN, help="file of the choices")
    tune.set_defaults(carry_out=_tune)


def _add_table(commands: _Commands) -> None:
    table = commands.add_parser("table", help="print the tables of all records, and write them into documents")
    table.add_argument("--results", type=Path, default=RESULTS)
    table.add_argument(
        "--write", type=Path, nargs="+", default=[], metavar="FILE",
        help="documents with markers: README.md for the overview, docs/results.md for the tables",
    )  # fmt: skip
    table.set_defaults(carry_out=_table)


def _add_plot(commands: _Commands) -> None:
    plot = commands.add_parser("plot", help="draw the figures of all records")
    plot.add_argument("--results", type=Path, default=RESULTS)
    plot.add_argument("--output", type=Path, default=None, help="folder of the figures")
    plot.set_defaults(carry_out=_plot)


def _add_gallery(commands: _Commands) -> None:
    gallery = commands.add_parser(
        "gallery",
        help="take test samples through a network: rasters of input, latent, what is kept and what comes back",
    )
    gallery.add_argument("--data", choices=("shd", "synthetic"), default="shd")
    gallery.add_argument("--results", type=Path, default=RESULTS)
    gallery.add_argument("--networks", type=Path, default=CACHE, help="folder of networks trained on experience 0")
    gallery.set_defaults(carry_out=_gallery, output=None)


def _add_demo(commands: _Commands) -> None:
    demo = commands.add_parser("demo", help="the main job on generated data: a few minutes, a table and a picture")
    demo.add_argument("--output", type=Path, default=Path("demo"))
    demo.add_argument("--threads", type=int, default=1)
    demo.set_defaults(carry_out=_demo)
