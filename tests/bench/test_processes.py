"""Jobs in processes of their own: what becomes of them and of the processes when one fails, dies or is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import light_work
import pytest

from benchmarks.processes import Failure, Job, check_cores, run_in_processes

ROOT = Path(__file__).parents[2]


class Notes:
    """A watcher that writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.outcomes: dict[str, Any] = {}

    def began(self, slot: int, job: Job) -> None:
        self.lines.append(("began", job.name))

    def told(self, slot: int, news: object) -> None:
        self.lines.append(("told", news))

    def ended(self, slot: int, job: Job, outcome: Any) -> None:
        self.lines.append(("ended", job.name))
        assert job.name not in self.outcomes, "a job ends once"
        self.outcomes[job.name] = outcome


def carry_out(jobs: dict[str, light_work.Steps], n_processes: int, shares: dict[str, str] | None = None) -> Notes:
    notes = Notes()
    given = [Job(name, name, steps, (shares or {}).get(name)) for name, steps in jobs.items()]
    run_in_processes(given, light_work.work, n_processes, 1, notes)
    assert list(notes.outcomes.keys() ^ jobs.keys()) == []
    return notes


def test_processes_are_used_again_and_none_is_this_one() -> None:
    outcomes = carry_out({name: [("pid",)] for name in "abcdef"}, n_processes=2).outcomes
    assert 1 <= len(set(outcomes.values())) <= 2
    assert os.getpid() not in outcomes.values()


def test_two_jobs_run_side_by_side_and_tell_how_they_go_on(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    # Each waits for the other, in vain if they came one after the other.
    jobs = {
        "a": [("touch", a), ("wait", b), ("tell", {"epoch": 1}), ("exists", b)],
        "b": [("touch", b), ("wait", a), ("exists", a)],
    }
    notes = carry_out(jobs, n_processes=2)
    assert notes.outcomes == {"a": True, "b": True}
    assert notes.lines.index(("told", {"epoch": 1})) < notes.lines.index(("ended", "a"))


def test_nothing_to_do_starts_nothing() -> None:
    assert carry_out({}, n_processes=2).lines == []


def test_a_failure_stops_no_other_job_and_is_told_in_its_own_words() -> None:
    jobs: dict[str, light_work.Steps] = {
        "refused": [("fail", ValueError("too small: at least 6480 bytes are needed"))],
        "broken": [("fail", RuntimeError("shapes differ"))],
        "good": [("pid",)],
    }
    outcomes = carry_out(jobs, n_processes=1).outcomes
    assert outcomes["refused"] == Failure("refused", "too small: at least 6480 bytes are needed")
    assert outcomes["broken"].reason == "RuntimeError: shapes differ"
    assert 'light_work.py", line' in outcomes["broken"].details
    assert isinstance(outcomes["good"], int)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, "its process was killed by SIGKILL; if you did not do that, the machine may be short of mem"),
        (signal.SIGTERM, "its process was killed by SIGTERM"),
    ],
)
def test_a_killed_process_fails_its_job_and_is_replaced(number: int, reason: str) -> None:
    jobs: dict[str, light_work.Steps] = {
        "before": [("print", "of another job"), ("pid",)],
        "killed": [("print", "its last words"), ("kill", number)],
        "after": [("pid",)],
    }
    outcomes = carry_out(jobs, n_processes=1).outcomes
    assert outcomes["killed"].name == "killed"
    assert outcomes["killed"].reason.startswith(reason)
    assert outcomes["killed"].details == "its last words\nits last words"
    assert outcomes["before"] != outcomes["after"]


def test_what_jobs_print_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    carry_out({"a": [("print", "UserWarning: ...")]}, n_processes=1)
    assert capfd.readouterr() == ("", "")


def test_what_is_shared_is_made_once_while_others_go_on(tmp_path: Path) -> None:
    made, other, second = tmp_path / "made", tmp_path / "other", tmp_path / "second"
    jobs = {
        # It makes what is shared while "other" runs, and is still at work when "second" uses it.
        "first": [("wait", other), ("touch", made), ("ready",), ("wait", second), ("exists", made)],
        "second": [("touch", second), ("exists", made)],
        "third": [("exists", made)],
        "other": [("touch", other), ("exists", made)],
    }
    notes = carry_out(jobs, n_processes=2, shares=dict.fromkeys(("first", "second", "third"), "network"))
    began = [name for what, name in notes.lines if what == "began"]
    assert began == ["first", "other", "second", "third"]
    assert [notes.outcomes[name] for name in ("first", "second", "third")] == [True, True, True]


def test_when_the_process_that_makes_what_is_shared_is_killed_the_next_one_makes_it(tmp_path: Path) -> None:
    made = tmp_path / "made"
    jobs: dict[str, light_work.Steps] = {
        "first": [("kill", signal.SIGKILL)],
        "second": [("exists", made), ("touch", made), ("ready",)],
        "third": [("exists", made)],
    }
    notes = carry_out(jobs, n_processes=3, shares=dict.fromkeys(jobs, "network"))
    lines = notes.lines
    assert lines.index(("ended", "first")) < lines.index(("began", "second")) < lines.index(("began", "third"))
    assert notes.outcomes["third"] is True


@pytest.mark.parametrize("n_threads", [1, 3])
def test_libraries_are_given_their_number_of_threads(n_threads: int) -> None:
    notes = Notes()
    run_in_processes([Job("a", "a", [("environment",)])], light_work.work, 1, n_threads, notes)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        assert notes.outcomes["a"][variable] == str(n_threads)


@pytest.mark.parametrize(
    ("n_jobs", "n_threads", "message"),
    [
        (3, 2, "3 jobs of 2 threads need 6 cores, but this process may use 4, .*: give --jobs 3 --threads 1 or"),
        (5, 1, "5 jobs of 1 threads need 5 cores, but this process may use 4, .*: give --jobs 4 --threads 1"),
        (0, 1, "--jobs: a number from 1 was wanted, 0 came"),
        (1, 0, "--threads: a number from 1 was wanted, 0 came"),
    ],
)  # fmt: skip
def test_more_threads_than_cores_are_refused(
    n_jobs: int, n_threads: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5, 7}, raising=False)
    check_cores(2, 2)
    check_cores(4, 1)
    with pytest.raises(ValueError, match=message):
        check_cores(n_jobs, n_threads)


INTERRUPTED = """
import sys
from pathlib import Path
import light_work
from benchmarks.processes import Job, run_in_processes
from test_processes import Notes

folder = Path(sys.argv[1])
jobs = [
    Job(name, name, [("hold", folder / f"{name}.lock"), ("write_until_stopped", folder / name)]) for name in "ab"
]
try:
    run_in_processes(jobs, light_work.work, 2, 1, Notes())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.usefixtures("hearing_interrupts")
def test_no_process_outlives_the_one_that_started_it(number: signal.Signals, tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    left = tmp_path / "left by who was killed"
    left.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(left)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for name in "ab":
        light_work.wait_for(tmp_path / f"{name}.partial")
    assert light_work.is_held(tmp_path / "a.lock")
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does it: every process hears Ctrl-C
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=30)
    if number == signal.SIGINT:
        assert (out, err) == ("interrupted\n", "")
    until = time.monotonic() + 30
    while any(light_work.is_held(tmp_path / f"{name}.lock") for name in "ab") and time.monotonic() < until:
        time.sleep(0.01)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"a.lock", "b.lock"}, "nothing half written"
    assert not any(light_work.is_held(tmp_path / f"{name}.lock") for name in "ab")
