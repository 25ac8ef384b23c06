"""`python -m benchmarks speed`: measure, and show what was measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.records import RESULTS
from benchmarks.speed.plan import SECTIONS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_QUICK = Path(__file__).parents[1] / ".cache" / "speed"


def add_speed(commands: Commands) -> None:
    """Add the command to the bench's."""
    speed = commands.add_parser(
        "speed",
        help="measure speed and memory beside other libraries",
        description="Measure our kernels beside snnTorch, norse and SpikingJelly (pip install -e '.[bench]'), write "
        "the record after each section, print its tables and draw its figures: a quarter to half an hour on two "
        "cores, which should have nothing else to do.",
    )
    speed.add_argument("--quick", action="store_true", help="two minutes: a part of it, with fewer rounds")
    speed.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=[], help="measure these, keep the rest of the record"
    )
    speed.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    speed.add_argument("--show", action="store_true", help="measure nothing: tables and figures of the record")
    speed.add_argument("--record", type=Path, help="a JSON file (default: one for each device; quick runs elsewhere)")
    speed.add_argument("--figures", type=Path, help="folder of the figures")
    speed.add_argument("--readme", type=Path, help="a file with markers for the tables, usually README.md")
    speed.set_defaults(carry_out=run_speed)


def run_speed(parsed: argparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        ValueError: tables of a quick run for a README, or a file without markers.
    """
    # Imported here, so that the other commands do not wait for it.
    from benchmarks.speed.figures import draw_speed
    from benchmarks.speed.record import SPEED_RESULTS, read_speed_record
    from benchmarks.speed.run import measure
    from benchmarks.speed.tables import speed_tables, write_speed

    if parsed.quick and parsed.readme is not None:
        raise ValueError("--readme takes the tables of a full run: leave out --quick")
    path = parsed.record or (_QUICK if parsed.quick else SPEED_RESULTS) / f"{parsed.device}.json"
    folder = parsed.figures or (_QUICK if parsed.quick else RESULTS / "figures" / "speed")
    if parsed.show:
        record = read_speed_record(path)
    else:
        record = measure("quick" if parsed.quick else "full", path, only=parsed.only, device=parsed.device)
    tables = speed_tables(record)
    print(tables)
    print(f"\n{path}")
    for figure in draw_speed(record, folder, path.stem):
        print(figure)
    if parsed.readme is not None:
        write_speed(tables, parsed.readme)
    return 0
