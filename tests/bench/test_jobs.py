"""A series of runs, as a user asks for it and as they see it."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import processes, runner
from benchmarks.cli import main
from benchmarks.jobs import labels
from benchmarks.plans import make_plans
from benchmarks.processes import Job
from benchmarks.progress import BarsSideBySide, EpochReached
from benchmarks.records import read_record
from benchmarks.runner import run, shared_network
from benchmarks.settings import RunPlan

ROOT = Path(__file__).parents[2]
OF_THE_OCCASION = ("seconds", "first_seconds", "jobs")
QUICK = "--data synthetic --quick --first-epochs 1 --epochs 1"
TOO_SMALL = "A memory of 1 bytes is too small for one exemplar of each of 20 classes"


@pytest.fixture
def folders(generated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where records and networks go, as options."""
    monkeypatch.setenv("AVALANCHE_SNN_DATA", generated)
    return ["--results", str(tmp_path / "results"), "--networks", str(tmp_path / "networks")]


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


def records_in(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: read_record(path) for path in folder.glob("*.json")}


def test_every_combination_is_planned_once() -> None:
    plans = make_plans(
        ["class_incremental", "sample_incremental"],
        ["naive", "replay"],
        seeds=[0, 1, 1],
        options={"memory": ["16 kB", "160 kB", "16kB"]},
    )
    assert [(plan.seed, plan.benchmark, plan.strategy, plan.options.get("memory")) for plan in plans] == [
        (seed, benchmark, strategy, memory)
        for seed in (0, 1)
        for benchmark in ("class_incremental", "sample_incremental")
        for strategy, memory in (("naive", None), ("replay", "16 kB"), ("replay", "160 kB"))
    ]


def test_an_option_that_no_strategy_has_is_refused() -> None:
    with pytest.raises(ValueError, match="Strategy 'naive' has no option 'after'; it has none"):
        make_plans(["class_incremental"], ["naive", "replay"], options={"after": ["hidden1"]})


def test_runs_share_a_network_where_all_that_decides_it_is_the_same(small_plan: Callable[..., RunPlan]) -> None:
    network = shared_network(small_plan("class_incremental", "naive"))
    assert network is not None
    latents = {"memory": "4 kB", "after": "hidden1"}
    assert shared_network(small_plan("class_incremental", "compressed_latent_replay", options=latents)) == network
    assert shared_network(small_plan("class_incremental", "naive", seed=1)) != network
    assert shared_network(small_plan("class_incremental", "naive", time_pooling={"hidden1": "any/2"})) != network
    assert shared_network(small_plan("multi_class_incremental", "naive")) != network
    assert shared_network(small_plan("class_incremental", "joint")) is None


def test_labels_say_what_tells_runs_from_each_other() -> None:
    both = make_plans(["class_incremental"], ["naive", "replay"], seeds=[0, 1])
    assert labels(both) == [
        "seed 0, naive", "seed 0, replay, 1600 kB", "seed 1, naive", "seed 1, replay, 1600 kB",
    ]  # fmt: skip
    assert labels(make_plans(["class_incremental"], ["naive"])) == ["naive"]
    assert labels([]) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show_two_runs() -> None:
    bars = BarsSideBySide(2, lambda job, outcome: f"{job.name}: {outcome}")
    bars.began(0, Job("first", "seed 0", None))
    bars.began(1, Job("second", "seed 1", None))
    bars.told(1, EpochReached(3, 8, None))
    bars.told(1, EpochReached(4, 8, 0.25))
    bars.ended(1, Job("second", "seed 1", None), "12 %")
    bars.close()


def test_all_runs_are_in_one_view(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        show_two_runs()
    shown = terminal.getvalue()
    for text in ("runs done:   0%", "starting seed 0", "| 3/8 epochs", "| 4/8 epochs", "loss 0.250] seed 1", "| 1/2 ["):
        assert text in shown
    assert capsys.readouterr().out == "second: 12 %\n"


def test_where_nobody_looks_there_are_lines_and_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    show_two_runs()
    assert capsys.readouterr() == ("second: 12 %\n", "")


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])  # with all its imports
def test_side_by_side_the_records_are_those_of_single_runs(
    start: str,
    folders: list[str],
    two_cores: None,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_CONTEXT", multiprocessing.get_context(start))
    line = f"run class_incremental --strategy naive compressed_latent_replay {QUICK} --jobs 2 --memory".split()
    assert main([*line, "1 B", "16 kB", *folders]) == 1
    said = capfd.readouterr()
    records = records_in(tmp_path / "results")
    assert [record["strategy"] for record in records.values()].count("naive") == 1
    assert len(records) == 2
    for name, record in records.items():
        assert f"{name}: final accuracy {100 * record['final_accuracy']:.2f} % on the test stream" in said.out
        assert (record["threads"], record["jobs"]) == (1, 2)
    assert "3 runs: 2 finished, 0 had a record, 1 failed" in said.out
    assert said.err.startswith("naive: no option 'memory', run once without it\nfailed: class_incremental-compressed_")
    assert f"-seed0: {TOO_SMALL}" in said.err
    assert len(said.err.splitlines()) == 2, "neither bars nor warnings where standard error is no terminal"
    assert len({record["first_seconds"] for record in records.values()}) == 1, "one network, trained once"
    assert not list(tmp_path.rglob("*.partial"))

    again = ["--results", str(tmp_path / "single"), "--networks", str(tmp_path / "other networks")]
    assert main([*line[:-1], "--jobs", "1", "--memory", "16 kB", *again]) == 0
    singles = records_in(tmp_path / "single")
    assert singles.keys() == records.keys()
    for name, single in singles.items():
        assert single["jobs"] == 1
        assert {k: v for k, v in single.items() if k not in OF_THE_OCCASION} == {
            k: v for k, v in records[name].items() if k not in OF_THE_OCCASION
        }


def test_what_has_a_record_is_skipped_and_a_failure_does_not_stop_the_rest(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "class_incremental", "--strategy", "naive", *QUICK.split(), *folders]) == 0
    carry_out = runner._Run.carry_out
    carried_out = []

    def note(self: runner._Run) -> runner.Record:
        carried_out.append((self.plan.seed, self.plan.strategy))
        if self.plan.seed == 1:
            raise RuntimeError("shapes differ")
        return carry_out(self)

    monkeypatch.setattr(runner._Run, "carry_out", note)
    capsys.readouterr()
    line = ["run", "class_incremental", "--strategy", "naive", "--seed", "0", "1", "2", *QUICK.split(), *folders]
    assert main(line) == 1
    said = capsys.readouterr()
    assert carried_out == [(1, "naive"), (2, "naive")]
    assert said.out.splitlines()[0].endswith("s (has a record, not repeated)")
    assert "3 runs: 1 finished, 1 had a record, 1 failed" in said.out
    assert "-seed1: RuntimeError: shapes differ\n    Traceback" in said.err
    assert {record["seed"] for record in records_in(tmp_path / "results").values()} == {0, 2}


def test_interrupted_it_says_how_to_go_on(
    folders: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner._Run, "carry_out", interrupt)
    assert main(["run", "class_incremental", "--strategy", "naive", "joint", *QUICK.split(), *folders]) == 130
    assert "interrupted: what was finished has its record; the same command goes on" in capsys.readouterr().err


def test_more_threads_than_cores_are_refused_before_anything_starts(
    two_cores: None, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["run", "class_incremental", "--strategy", "naive", "--jobs", "2", "--threads", "2", *folders]
    assert main(line) == 2
    assert "error: 2 jobs of 2 threads need 4 cores, but this process may use 2" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_record_says_how_many_runs_were_side_by_side(
    small_plan: Callable[..., RunPlan], tmp_path: Path, cache: Path
) -> None:
    assert run(small_plan("class_incremental", "naive"), tmp_path, cache=cache)["jobs"] == 1
    assert run(small_plan("class_incremental", "naive", seed=1), tmp_path, cache=cache, jobs=3)["jobs"] == 3


SERIES = "class_incremental --strategy naive compressed_latent_replay --data synthetic --quick --epochs 20"


@pytest.fixture
def started(folders: list[str], hearing_interrupts: None) -> Iterator[subprocess.Popen[str]]:
    """The command line in processes of its own, interrupted as a terminal would do it."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two jobs need two cores")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "run", *SERIES.split(), "--seed", "0", "1", "--jobs", "2", *folders],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def wait_for_files(folder: Path, pattern: str) -> None:
    until = time.monotonic() + 180
    while not list(folder.glob(pattern)):
        assert time.monotonic() < until, f"no {pattern} came"
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    """Processes that were started to do jobs."""
    children = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid and "spawn_main" in command:
            children.append(int(folder.name))
    return children


@pytest.mark.slow
def test_an_interrupted_series_goes_on_where_it_stopped(
    started: subprocess.Popen[str], folders: list[str], tmp_path: Path
) -> None:
    wait_for_files(tmp_path / "results", "*.json")
    os.killpg(started.pid, signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert err == "interrupted: what was finished has its record; the same command goes on from there\n"
    assert children_of(started.pid) == []
    finished = records_in(tmp_path / "results")
    assert 1 <= len(finished) < 4
    assert main(["run", *SERIES.split(), "--seed", "0", "1", *folders]) == 0
    complete = records_in(tmp_path / "results")
    assert len(complete) == 4
    assert {name: complete[name] for name in finished} == finished
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
def test_a_killed_run_is_named_and_the_others_finish(started: subprocess.Popen[str], tmp_path: Path) -> None:
    wait_for_files(tmp_path / "networks", "*.pt")
    os.kill(children_of(started.pid)[0], signal.SIGKILL)
    out, err = started.communicate(timeout=180)
    assert started.returncode == 1
    assert "4 runs: 3 finished, 0 had a record, 1 failed" in out
    assert err.startswith("failed: class_incremental-")
    assert "its process was killed by SIGKILL" in err
    assert len(records_in(tmp_path / "results")) == 3
