"""Sweeps: from a file to records, here and on a cluster."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import runner
from benchmarks.catalogue import strategy_names
from benchmarks.cli import main
from benchmarks.plans import make_plan, make_plans
from benchmarks.records import RESULTS, read_record
from benchmarks.runner import shared_network
from benchmarks.sweeps.costs import estimate, in_words
from benchmarks.sweeps.files import FOLDER, find_sweep, plans_for, read_sweep, sweep_names

ROOT = Path(__file__).parents[2]
OF_THE_OCCASION = ("seconds", "first_seconds", "jobs", "threads")
SMALL = """
title = "Two strategies"

[common]
data = "synthetic"
quick = true
training = { first_epochs = 1, epochs = 1 }

[[series]]
benchmarks = "multi_class_incremental"
strategies = ["naive", "compressed_latent_replay"]
options = { memory = ["16 kB"], codec = "rice" }
seeds = [0, 1]
"""


@pytest.fixture
def folders(generated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where records and networks go, as options."""
    monkeypatch.setenv("AVALANCHE_SNN_DATA", generated)
    return ["--results", str(tmp_path / "results"), "--networks", str(tmp_path / "networks")]


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def outcomes_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Records without what differs from one time to the next."""
    return {
        path.stem: {name: value for name, value in read_record(path).items() if name not in OF_THE_OCCASION}
        for path in folder.glob("*.json")
    }


def test_a_file_plans_what_make_plans_does(small: str) -> None:
    sweep = read_sweep(Path(small))
    assert sweep.title == "Two strategies"
    assert list(sweep.plans) == make_plans(
        ["multi_class_incremental"],
        ["naive", "compressed_latent_replay"],
        seeds=[0, 1],
        options={"memory": ["16 kB"], "codec": ["rice"]},
        data="synthetic",
        quick=True,
        training={"first_epochs": 1, "epochs": 1},
    )


def test_earlier_series_come_first_and_what_they_share_comes_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [common]
        benchmarks = ["class_incremental"]
        training = { first_epochs = 7, epochs = 5 }
        [[series]]
        strategies = ["joint"]
        training = { epochs = 6 }
        [[series]]
        strategies = ["naive", "joint"]
        [[series]]
        strategies = ["joint"]
        training = { epochs = 6 }
        """,
    )
    plans = read_sweep(path).plans
    assert [(plan.strategy, plan.training.first_epochs, plan.training.epochs) for plan in plans] == [
        ("joint", 7, 6),
        ("naive", 7, 5),
        ("joint", 7, 5),
    ]


def test_a_series_runs_each_of_its_streams(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [[series]]
        benchmarks = ["class_incremental"]
        strategies = ["naive"]
        stream = { n_channels = 70 }
        streams = [{ new_class = 3 }, { new_class = 5, n_channels = 35 }]
        """,
    )
    streams = [plan.stream for plan in read_sweep(path).plans]
    assert [(stream["new_class"], stream["n_channels"]) for stream in streams] == [(3, 70), (5, 35)]


def test_all_strategies_and_records_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        'records = "own"\n[[series]]\nbenchmarks = "class_incremental"\nstrategies = "all"\n', encoding="utf-8"
    )
    sweep = read_sweep(tmp_path / "s.toml")
    assert [plan.strategy for plan in sweep.plans] == strategy_names()
    assert sweep.results(tmp_path) == tmp_path / "own"
    assert plans_for(RESULTS / "own", tmp_path) == list(sweep.plans)
    assert plans_for(RESULTS, tmp_path) == []


@pytest.mark.parametrize("name", sweep_names())
def test_every_sweep_of_the_project_can_be_read(name: str) -> None:
    assert read_sweep(find_sweep(name)).plans
    assert find_sweep(name) == FOLDER / f"{name}.toml"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[series]", "is not TOML"),
        ("", "plans no run"),
        ("[[series]]\nstrategies = ['naive']", "series 1: benchmarks missing"),
        ("[[series]]", "series 1: benchmarks and strategies missing"),
        ('records = "../elsewhere"', "records was wanted as the name of a folder, like 'own', but '../elsewhere' came"),
        ("seeds = [0]", "the file: there is no 'seeds'; there are title, records, common, series"),
        ("[common]\nmemory = '16 kB'", r"\[common\]: there is no 'memory'"),
        ("[[series]]\nbenchmarks = 'class_incremental'\nstrategies = 'best'", "series 1: There is no strategy 'best'"),
        (
            "[[series]]\nbenchmarks = 'class_incremental'\nstrategies = 'naive'\noptions = { memory = '1 kB' }",
            "series 1: Strategy 'naive' has no option 'memory'",
        ),
        ("[[series]]\nbenchmarks = 'class_incremental'\nstrategies = 'naive'\ntraining = 3", "wanted as a table"),
        (
            "[[series]]\nbenchmarks = 'class_incremental'\nstrategies = 'naive'\ntraining = { epoch = 3 }",
            "series 1: .*epoch",
        ),
        ("series = 3", "came something else"),
        (
            "[[series]]\nbenchmarks = 'class_incremental'\nstrategies = 'naive'\nstreams = { new_class = 3 }",
            "streams was wanted as a list of tables",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_sweep(write(tmp_path, text))


def test_a_sweep_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "of_dust"]) == 2
    said = capsys.readouterr().err
    assert "There is no sweep 'of_dust'" in said
    assert all(name in said for name in sweep_names())


def test_a_sweep_says_its_cost_does_what_is_missing_and_nothing_twice(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = str(write(tmp_path, SMALL.replace("multi_class_incremental", "class_incremental")))
    assert main(["sweep", small, "--dry-run", *folders]) == 0
    said = capsys.readouterr().out
    assert "Two strategies: 4 runs, 0 of them have a record" in said
    assert "no record tells what these runs take" in said
    assert not (tmp_path / "results").exists()

    assert main(["sweep", small, *folders]) == 0
    said = capsys.readouterr().out
    assert re.search(r"compressed_latent_replay-\S+: [\d.]+ %, \d+ bytes, \d+ s \(4 of 4\)", said)
    done = outcomes_in(tmp_path / "results")
    assert len(done) == 4

    lost = tmp_path / "results" / f"{sorted(done)[0]}.json"
    lost.unlink()
    assert main(["sweep", small, "--dry-run", *folders]) == 0
    assert re.search(r"1 to do: about \d+ s with 1 at a time\n", capsys.readouterr().out)
    begun = []
    monkeypatch.setattr(runner, "_Run", lambda plan, *rest, run=runner._Run: begun.append(plan) or run(plan, *rest))
    assert main(["sweep", small, *folders]) == 0
    assert [plan.identifier for plan in begun] == [lost.stem]
    assert outcomes_in(tmp_path / "results") == done


def test_runs_that_are_refused_are_no_failures_and_are_not_tried_again(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series = SMALL.replace("multi_class_incremental", "sample_incremental").replace(
        '"compressed_latent_replay"', '"bic"'
    )
    path = write(tmp_path, re.sub(r"options = .*\nseeds = .*", "", series))
    assert main(["sweep", str(path), *folders]) == 0
    said = capsys.readouterr().out
    assert "2 runs: 1 finished, 0 failed, 1 refused" in said
    assert "bic cannot run on sample_incremental" in said
    assert main(["sweep", str(path), *folders]) == 0
    said = capsys.readouterr().out
    assert "2 runs, 1 of them have a record, 1 were refused (the table says why; --again tries them)" in said
    assert "to do" not in said
    assert main(["sweep", str(path), "--again", "--dry-run", *folders]) == 0
    assert "1 to do" in capsys.readouterr().out


def record_of(plan: Any, seconds: float, first_seconds: float) -> dict[str, Any]:
    return {
        "benchmark": plan.benchmark,
        "data": plan.data,
        "strategy": plan.strategy,
        "settings": plan.settings,
        "seconds": seconds,
        "first_seconds": first_seconds,
    }


def test_costs_worked_out_by_hand() -> None:
    short, long = {"first_epochs": 40, "epochs": 10}, {"first_epochs": 200, "epochs": 50}
    naive = make_plan("class_incremental", "naive", training=short)
    replay = make_plan("class_incremental", "replay", training=short)
    records = [record_of(naive, 130.0, 120.0), record_of(replay, 150.0, 120.0)]  # 3 s an epoch, then 1 and 3
    plans = [make_plan("class_incremental", name, seed=1, training=long) for name in ("naive", "replay")]
    plans += [make_plan("class_incremental", "cumulative", seed=1, training=long)]
    plans += [make_plan("sample_incremental", "naive", training=short)]
    cost = estimate(plans, records)
    assert cost.of_runs == {plans[0].identifier: 50.0, plans[1].identifier: 150.0, plans[2].identifier: 100.0}
    assert cost.of_networks == {shared_network(plans[0]): 600.0}  # one for all three
    assert cost.unknown == (plans[3].identifier,)
    assert cost.seconds == 900.0
    assert cost.describe(2) == "about 8 min with 2 at a time, and 1 runs that no record tells of"


def test_runs_with_the_same_settings_tell_more_than_others_of_the_strategy() -> None:
    cheap, dear = (make_plan("class_incremental", "replay", options={"memory": size}) for size in ("16 kB", "1600 kB"))
    records = [record_of(cheap, 10.0, 0.0), record_of(dear, 500.0, 0.0)]
    again = make_plan("class_incremental", "replay", seed=1, options={"memory": "1600 kB"})
    assert estimate([again], records).of_runs == {again.identifier: pytest.approx(100.0)}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.0, "59 s"),
        (60.0, "1 min"),
        (3599.0, "60 min"),
        (12_000.0, "3 h 20 min"),
        (7199.0, "2 h 0 min"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler with two workers of one thread, all processes of their own."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environ, "cwd": tmp_path}
    dask = [sys.executable, "-m", "distributed.cli"]
    command = [*dask[:2], "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard"]
    processes = [subprocess.Popen([*command, "--scheduler-file", str(file)], **quiet)]
    worker = [*dask[:2], "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1"]
    worker += ["--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path)]
    processes += [subprocess.Popen(worker, **quiet) for _ in range(2)]
    try:
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing_and_nothing_is_recorded_twice(
    small: str, folders: list[str], tmp_path: Path, scheduler: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = scheduler
    here = tmp_path / "here"
    assert main(["sweep", small, "--results", str(here), "--networks", str(tmp_path / "networks")]) == 0

    command = [sys.executable, "-m", "benchmarks", "sweep", small, "--cluster", address, *folders]
    sweep = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert sweep.stdout is not None
    lines = []
    for line in sweep.stdout:
        lines.append(line)
        if " of 4" in line and workers[0].poll() is None:
            workers[0].send_signal(signal.SIGKILL)
    assert sweep.wait() == 0
    assert workers[0].poll() == -signal.SIGKILL
    assert lines[-1] == "4 runs: 4 finished, 0 failed\n"
    assert sum(" of 4" in line for line in lines) == 4
    assert outcomes_in(tmp_path / "results") == outcomes_in(here)


@pytest.mark.slow
def test_a_sweep_that_is_killed_ends_with_the_records_of_one_that_was_not(
    small: str, folders: list[str], tmp_path: Path
) -> None:
    here = tmp_path / "here"
    assert main(["sweep", small, "--results", str(here), "--networks", str(tmp_path / "other networks")]) == 0

    command = [sys.executable, "-m", "benchmarks", "sweep", small, *folders]
    sweep = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert sweep.stdout is not None
    for line in sweep.stdout:
        if " of 4" in line:
            sweep.send_signal(signal.SIGKILL)
    assert sweep.wait() == -signal.SIGKILL
    finished = outcomes_in(tmp_path / "results")
    assert 1 <= len(finished) < 4
    assert main(["sweep", small, *folders]) == 0
    assert outcomes_in(tmp_path / "results") == outcomes_in(here)


def test_a_scheduler_that_does_not_answer(
    small: str, folders: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("benchmarks.sweeps.cluster._CONNECT_SECONDS", 0.2)
    assert main(["sweep", small, "--cluster", "tcp://127.0.0.1:9", *folders]) == 2
    assert "No Dask scheduler answers at 'tcp://127.0.0.1:9'" in capsys.readouterr().err


def test_without_dask_it_is_said_what_to_install(
    small: str, folders: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["sweep", small, "--cluster", "tcp://127.0.0.1:9", *folders]) == 2
    assert "pip install distributed" in capsys.readouterr().err
