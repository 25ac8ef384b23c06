"""What README and figures show of a record of the bench of speed, on figures worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from benchmarks.cli import main
from benchmarks.records import RESULTS
from benchmarks.speed.contestants import MEASURES
from benchmarks.speed.figures import draw_speed
from benchmarks.speed.ours import ANY_ADAPTATION
from benchmarks.speed.record import SPEED_RESULTS, read_speed_record, write_speed_record
from benchmarks.speed.tables import MARKERS, speed_tables

README = Path(__file__).parents[2] / "README.md"
ENVIRONMENT = {
    "machine": {"processor": "a processor avx2", "cores": 2, "device": "cpu", "system": "Linux", "python": "3.11.7"},
    "versions": {"torch": "2.15.0", "snntorch": "1.0.0", "norse": None, "spikingjelly": None},
    "kernels": {"cpp": None, "torch": None, "reference": None},
}


def spread(median: float, quartile: float = 0.0) -> dict[str, float]:
    return {"median": median, "lower": median - quartile, "upper": median + quartile}


def timed(milliseconds: float, faster: float, quartile: float) -> dict[str, Any]:
    return {measure: {"ms": spread(milliseconds, 1.0), "faster": spread(faster, quartile)} for measure in MEASURES}


def step(workload: str, threads: int = 1, **changes: Any) -> dict[str, Any]:
    times = {"snntorch": timed(300, 1.0, 0.0), "cpp/synaptic": timed(60, 5.0, 0.1), "products": timed(150, 2.0, 0.2)}
    return {
        "workload": workload,
        "threads": threads,
        "title": "700-200-20, recurrent",
        "label": "SHD, T = 100, B = 128",
        "rounds": 9,
        "compared_with": "snntorch",
        "input_density": 0.08,
        "times": times,
        "hidden_density": {"snntorch": [0.2], "cpp/synaptic": [0.09, 0.11], "products": []},
        "missing": {"norse": "ModuleNotFoundError: No module named 'norse'"},
        **changes,
    }


def record_of(**sections: Any) -> dict[str, Any]:
    whole = {name: {"environment": ENVIRONMENT, "results": results} for name, results in sections.items()}
    return {"quick": False, **whole}


def test_the_table_of_a_step_worked_out_by_hand() -> None:
    peaks = [
        {"workload": "paper", "contestant": "snntorch", "bytes": 60_000_000},
        {"workload": "paper", "contestant": "cpp/synaptic", "bytes": 12_340_000},
    ]
    table = speed_tables(record_of(steps=[step("paper")], memory=peaks))
    assert "Measured on a processor avx2, 2 cores; Python 3.11.7, torch 2.15.0, snntorch 1.0.0." in table
    assert "**700-200-20, recurrent** - SHD, T = 100, B = 128, 1 thread, 9 rounds" in table
    assert "| snnTorch | 300 | 300 | 300 | 1.00 | 60.0 |" in table
    assert "| ours, `cpp` | 60 | 60 | 60 | 5.00 (4.90-5.10) | 12.3 |" in table
    assert "| *dense products alone* | 150 | 150 | 150 | 2.00 (1.80-2.20) |  |" in table
    assert "Not measured:\n- norse on 700-200-20, recurrent: ModuleNotFoundError: No module named 'norse'" in table
    assert "each hidden layer of ours spikes in 10 % of the cells" in table


def test_neurons_behind_convolutions_have_tables_without_memory() -> None:
    times = {
        "reference/maps": timed(80, 1.0, 0.0),
        "cpp/maps": timed(20, 4.0, 0.1),
        "convolutions": timed(16, 5.0, 0.0),
    }
    missing = {"triton/maps": "wanted a CUDA device, came 'cpu'"}
    found = step("", title="64 maps", label="T = 4", times=times, compared_with="reference/maps", missing=missing)
    table = speed_tables(record_of(maps=[found]))
    assert "**64 maps** - T = 4, 1 thread, 9 rounds" in table
    assert "| training step (ms) | times faster than ours, `reference` |\n|---|---|---|---|---|\n" in table
    assert "| ours, `cpp` | 20 | 20 | 20 | 4.00 (3.90-4.10) |\n" in table
    assert "| *without neurons* | 16 | 16 | 16 | 5.00 |" in table
    assert "- ours, `triton` on 64 maps: wanted a CUDA device, came 'cpu'" in table
    assert table.count("Measured on") == 1
    later = {**ENVIRONMENT, "versions": {**ENVIRONMENT["versions"], "torch": "2.16.0"}}
    both = record_of(steps=[step("paper")], maps=[found])
    assert speed_tables(both).count("Measured on") == 1
    both["maps"]["environment"] = later
    assert "Python 3.11.7, torch 2.16.0, snntorch 1.0.0.\n\n**64 maps** - T = 4" in speed_tables(both)


def test_other_workloads_are_a_row_each() -> None:
    peaks = [{"workload": "paper", "contestant": "snntorch", "bytes": 1}]
    table = speed_tables(record_of(steps=[step("paper"), step("paper", threads=2), step("long")], memory=peaks))
    row = (
        "| 700-200-20, recurrent; SHD, T = 100, B = 128; 2 threads | snnTorch, 300 ms | 5.00 (4.90-5.10) | "
        "| | 2.00 (1.80-2.20) |"
    )
    assert row.replace(" ", "") in table.replace(" ", "")
    assert table.count("snnTorch, 300 ms") == 2
    assert table.count("| snnTorch | 300") == 1


def test_a_workload_without_its_data_is_named() -> None:
    absent = {"workload": "paper", "threads": 1, "title": "net", "label": "SHD, T = 100", "reason": "no file\nhere"}
    assert "- SHD, T = 100, net: no file here" in speed_tables(record_of(steps=[absent]))


def test_equality_is_summed_over_neurons() -> None:
    counts = {"kernel": "cpp", "dtype": "float32", "workload": "paper", "title": "net", "label": "SHD"}
    results = [
        {**counts, "neuron": "leaky", "cells": 10_000_000, "samples": 100, "rounded": 2, "unexplained": 0},
        {**counts, "neuron": "synaptic", "cells": 5_000_000, "samples": 100, "rounded": 1, "unexplained": 1},
        {**counts, "neuron": ANY_ADAPTATION, "cells": 7, "samples": 5, "rounded": 0, "unexplained": 4},
        {**counts, "neuron": "synaptic", "kernel": "triton", "reason": "needs a GPU"},
    ]
    table = speed_tables(record_of(equality=results))
    assert "| leaky, synaptic | `cpp` | float32 | 15,000,000 | 200 | 3 | 1 |" in table
    assert f"| {ANY_ADAPTATION} | `cpp` | float32 | 7 | 5 | 0 | 4 |" in table, "never summed with the others"
    assert "- triton, float32: needs a GPU" in table


def test_what_lies_around_a_step() -> None:
    found = {
        "kernel": "cpp", "loading_ms": 4.0, "sample_by_sample_ms": 24.0, "step_ms": 76.0, "cached_epoch_ms": 50.0,
        "recomputed_epoch_ms": 310.0, "with_gradients_epoch_ms": 620.0, "opening_s": 0.231, "n_opened": 10_420,
        "dropout_ms": 8.04, "torch_dropout_ms": 40.2,
    }  # fmt: skip
    table = speed_tables(record_of(pipeline=found))
    assert "| 5.0 % (4.0 of 80 ms; sample by sample 24.0 ms) |" in table
    assert "| 6.2 (50 instead of 310 ms) |" in table
    assert "| opening SHD again, all 10,420 samples | 0.23 s |" in table
    assert "| 5.0 (8.0 instead of 40.2 ms) |" in table


def test_tables_go_between_the_markers() -> None:
    assert MARKERS.replace(f"a\n{MARKERS.begin}\nold\n{MARKERS.end}\nb\n", "new") == (
        f"a\n{MARKERS.begin}\n\nnew\n\n{MARKERS.end}\nb\n"
    )
    with pytest.raises(ValueError, match="which are missing"):
        MARKERS.replace("no markers", "new")


def test_the_readme_shows_what_the_record_says() -> None:
    text = README.read_text(encoding="utf-8")
    path = SPEED_RESULTS / "cpu.json"
    record = read_speed_record(path) if path.exists() else None
    assert record is None or not record["quick"]
    assert MARKERS.replace(text, speed_tables(record)) == text, (
        "run `python -m benchmarks speed --show --readme README.md`"
    )


def test_every_figure_is_drawn_from_a_record(tmp_path: Path) -> None:
    for path in SPEED_RESULTS.glob("*.json"):
        draw_speed(read_speed_record(path), tmp_path, path.stem)
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {path.name for path in (RESULTS / "figures" / "speed").glob("*.png")}


def test_figures_are_the_same_each_time(tmp_path: Path) -> None:
    points = [
        {"varied": varied, "value": value, "base": "a network", "times": step("sweep")["times"]}
        for varied in ("time steps", "neurons")
        for value in (10, 100)
    ]
    record = record_of(steps=[step("paper"), step("wide", title="700-512-20")], sweeps=points)
    paths = draw_speed(record, tmp_path, "cpu")
    assert [path.name for path in paths] == ["cpu-step.png", "cpu-growth.png"]
    for path in paths:
        assert matplotlib.image.imread(path)[..., :3].std() > 0.05, "more than an empty page"
        first = path.read_bytes()
        draw_speed(record, tmp_path, "cpu")
        assert path.read_bytes() == first


def test_show_prints_tables_and_writes_a_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, readme = tmp_path / "cpu.json", tmp_path / "README.md"
    line = ["speed", "--show", "--record", str(path), "--figures", str(tmp_path), "--readme", str(readme)]
    assert main(line) == 2
    assert f"error: {path} is missing: `python -m benchmarks speed` measures and writes it" in capsys.readouterr().err
    write_speed_record(record_of(steps=[step("paper")]), path)
    readme.write_text(f"{MARKERS.begin}\n{MARKERS.end}\n")
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "| snnTorch | 300 | 300 | 300 | 1.00 |\n" in said
    assert str(tmp_path / "cpu-step.png") in said
    assert "| snnTorch | 300 | 300 | 300 | 1.00 |\n" in readme.read_text()


def test_a_quick_run_is_not_for_the_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--quick", "--readme", str(tmp_path / "README.md")]) == 2
    assert "leave out --quick" in capsys.readouterr().err
