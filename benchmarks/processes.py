"""Jobs side by side, each in a process of its own: one that fails or is killed takes no other with it.

Processes are started afresh ("spawn": forking after torch has started threads is unsafe) and do one job after the
other, because starting one costs seconds of imports. Each has its own pipe and nothing is shared between them, neither
locks nor queues, so that a process that is killed at any moment leaves nothing behind that another could wait for.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from pathlib import Path
from typing import Any, NoReturn, Protocol

Tell = Callable[[object], None]
Work = Callable[[Any, Tell], Any]
USER_ERRORS = (ValueError, TypeError, FileNotFoundError)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_CONTEXT = multiprocessing.get_context("spawn")
_SECONDS_TO_LEAVE = 5.0
_LINES_OF_OUTPUT = 20


@dataclass(frozen=True)
class Job:
    """Something to be done.

    Attributes:
        name: tells it from all others.
        label: short, for people who see it beside the others.
        payload: what the work is given; can be pickled.
        shares: jobs of the same name here use something that the first of them makes: the others begin when it has
            told `SharedIsReady`, or has ended in whatever way.
    """

    name: str
    label: str
    payload: Any
    shares: str | None = None


@dataclass(frozen=True)
class SharedIsReady:
    """Told by a job when what it shares with others is made."""


@dataclass(frozen=True)
class Failure:
    """A job that came to nothing.

    Attributes:
        name: of the job.
        reason: in a line.
        details: a traceback or the last words of the process; empty where the reason says all.
    """

    name: str
    reason: str
    details: str = ""


class Watcher(Protocol):
    """Is told what happens; `slot` numbers the processes from 0."""

    def began(self, slot: int, job: Job) -> None:
        """A job was given to a process."""

    def told(self, slot: int, news: object) -> None:
        """A job told something."""

    def ended(self, slot: int, job: Job, outcome: Any) -> None:
        """A job ended: with what the work returned, or a `Failure`."""


def check_cores(n_jobs: int, n_threads: int) -> None:
    """Refuse more threads than there are cores to run them.

    Args:
        n_jobs: processes side by side.
        n_threads: of each.

    Raises:
        ValueError: they are more than the cores that this process may use, or less than one.
    """
    for name, number in (("--jobs", n_jobs), ("--threads", n_threads)):
        if number < 1:
            raise ValueError(f"{name}: a number from 1 was wanted, {number} came.")
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n_jobs * n_threads > n_cores:
        fitting = [f"--jobs {n_jobs} --threads {n_cores // n_jobs}"] if n_jobs <= n_cores else []
        fitting += [f"--jobs {n_cores // n_threads} --threads {n_threads}"] if n_threads <= n_cores else []
        raise ValueError(
            f"{n_jobs} jobs of {n_threads} threads need {n_jobs * n_threads} cores, but this process may use "
            f"{n_cores}, and more threads than cores slow each other down: give {' or '.join(dict.fromkeys(fitting))}."
        )


def is_meant_for_users(error: Exception) -> bool:
    """Return whether an exception says to a user what they should do otherwise.

    Of the kinds that do, those that a `raise` has raised: an error of Python's own in the same kinds is a fault in the
    code, a strategy's perhaps.
    """
    if isinstance(error, FileNotFoundError):
        return True
    innermost = traceback.extract_tb(error.__traceback__)[-1:]
    return isinstance(error, USER_ERRORS) and all((frame.line or "raise").startswith("raise") for frame in innermost)


def failure_of(name: str, error: Exception) -> Failure:
    """Describe an exception: in its own words where they are meant for the user, else with its traceback."""
    if is_meant_for_users(error):
        return Failure(name, str(error))
    return Failure(name, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def run_in_processes(jobs: Sequence[Job], work: Work, n_processes: int, n_threads: int, watcher: Watcher) -> None:
    """Do jobs in the order in which they come, so many at a time.

    A process that dies fails its job and is replaced. Whatever ends this call, Ctrl-C included, ends all processes.

    Args:
        jobs: what is to be done.
        work: called in a process with the payload of a job and with a function to tell the watcher something by
            (anything that can be pickled). It can be pickled itself; its modules are imported after the numbers of
            threads have been set.
        n_processes: at most so many at a time.
        n_threads: that numerical libraries may use in each.
        watcher: is told what happens, in this process.
    """
    waiting = list(jobs)
    ready: set[str] = set()
    workers: dict[int, _Worker] = {}

    def end(worker: _Worker, outcome: Any) -> None:
        job, worker.job = worker.job, None
        if job is not None:
            watcher.ended(worker.slot, job, outcome)

    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, _stopping(workers):
        while True:
            for slot in range(n_processes):
                if slot in workers and workers[slot].job is not None:
                    continue
                being_made = {worker.job.shares for worker in workers.values() if worker.job is not None} - ready
                job = next((job for job in waiting if job.shares is None or job.shares not in being_made), None)
                if job is None:
                    break
                waiting.remove(job)
                with _interrupts_held_back():
                    if slot in workers and not workers[slot].is_alive:
                        workers.pop(slot).leave()
                    if slot not in workers:
                        workers[slot] = _Worker(slot, work, n_threads, Path(folder) / f"output-{slot}")
                    workers[slot].give(job)
                watcher.began(slot, job)
            busy = {worker.connection: worker for worker in workers.values() if worker.job is not None}
            if not busy:
                return
            for ended in connection.wait(list(busy)):
                worker = busy[ended]  # type: ignore[index]
                try:
                    news = worker.connection.recv()
                except (EOFError, OSError):
                    end(workers.pop(worker.slot), worker.last_words())
                    continue
                if isinstance(news, SharedIsReady) and worker.job is not None and worker.job.shares is not None:
                    ready.add(worker.job.shares)
                elif isinstance(news, _Ended):
                    end(worker, news.outcome)
                else:
                    watcher.told(worker.slot, news)


@dataclass(frozen=True)
class _Ended:
    outcome: Any


class _Worker:
    """A process, seen from the one that started it."""

    def __init__(self, slot: int, work: Work, n_threads: int, output: Path) -> None:
        self.slot = slot
        self.job: Job | None = None
        self._output = output
        self.connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, n_threads, output), name=f"job {slot}")
        self._process.start()
        # Only the process itself holds its end now: when it is gone, we read the end of the file.
        theirs.close()
        self._send(work)

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.is_alive()

    def give(self, job: Job) -> None:
        """Have the process do a job."""
        self.job = job
        self._send(job)

    def last_words(self) -> Failure:
        """Say how a process that is gone, or as good as gone, came to its end."""
        self._process.join(_SECONDS_TO_LEAVE)
        status = self._process.exitcode
        self.leave()
        lines = self._output.read_text(errors="replace").splitlines() if self._output.exists() else []
        name = self.job.name if self.job is not None else ""
        return Failure(name, _reason(status), "\n".join(lines[-_LINES_OF_OUTPUT:]))

    def ask_to_leave(self) -> None:
        """Have the process stop what it does."""
        self._process.terminate()

    def leave(self) -> None:
        """Wait until the process has gone; it is given some seconds."""
        self.connection.close()
        self._process.join(_SECONDS_TO_LEAVE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _send(self, message: object) -> None:
        # A process that has died meanwhile is found out when it is listened to.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)


def _reason(status: int | None) -> str:
    if status is None:
        return "its process broke off the connection"
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    memory = "; if you did not do that, the machine may be short of memory: try fewer --jobs"
    return f"its process was killed by {name}{memory if -status == signal.SIGKILL else ''}"


@contextlib.contextmanager
def _stopping(workers: dict[int, _Worker]) -> Iterator[None]:
    """End all workers on the way out."""
    try:
        yield
    finally:
        for worker in workers.values():
            worker.ask_to_leave()
        for worker in workers.values():
            worker.leave()


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait, and start processes that never hear it: it is this process that ends them."""
    # It is started with the first process, and would let interrupts through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: connection.Connection, n_threads: int, output: Path) -> None:
    """Do jobs until told to leave: what a process does from its start to its end."""
    file = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND, 0o600)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(file, stream)
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(n_threads)))
    threading.Thread(target=_follow_parent, daemon=True).start()
    work: Work = pipe.recv()
    # From here on files are written: an exception, unlike the end by the signal itself, lets them be removed.
    signal.signal(signal.SIGTERM, _leave)
    try:
        _do_jobs(work, pipe, file)
    except SystemExit:
        # Without the seconds that torch takes to shut down.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _do_jobs(work: Work, pipe: connection.Connection, output: int) -> None:
    while True:
        job: Job = pipe.recv()
        os.ftruncate(output, 0)
        outcome: Any
        try:
            outcome = work(job.payload, pipe.send)
        except Exception as error:
            outcome = failure_of(job.name, error)
        pipe.send(_Ended(outcome))


def _leave(*_: object) -> NoReturn:
    raise SystemExit(1)


def _follow_parent() -> None:
    """End this process when the one that started it has gone, however that happened."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SECONDS_TO_LEAVE)
        os._exit(1)
