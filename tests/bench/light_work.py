"""Work for processes that takes no imports and no time: a job's payload is a list of what it does."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import SharedIsReady, Tell

Steps = list[tuple[Any, ...]]
_PATIENCE_S = 30.0


def work(steps: Steps, tell: Tell) -> Any:
    """Do the steps; return what the last one gives."""
    result: Any = None
    for name, *arguments in steps:
        result = globals()[f"_{name}"](tell, *arguments)
    return result


def wait_for(path: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{path.name} did not come")
        time.sleep(0.01)


def is_held(path: Path) -> bool:
    """Whether a living process has taken `path` by the step "hold"."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _tell(tell: Tell, news: object) -> None:
    tell(news)


def _ready(tell: Tell) -> None:
    tell(SharedIsReady())


def _touch(_: Tell, path: Path) -> None:
    path.touch()


def _wait(_: Tell, path: Path) -> None:
    wait_for(path)


def _exists(_: Tell, path: Path) -> bool:
    return path.exists()


def _hold(_: Tell, path: Path) -> None:
    # Left open for as long as the process lives.
    fcntl.flock(os.open(path, os.O_CREAT | os.O_WRONLY), fcntl.LOCK_EX)


def _print(_: Tell, text: str) -> None:
    print(text, flush=True)
    os.write(sys.stderr.fileno(), text.encode())


def _pid(_: Tell) -> int:
    return os.getpid()


def _environment(_: Tell) -> dict[str, str]:
    return dict(os.environ)


def _fail(_: Tell, error: Exception) -> None:
    raise error


def _kill(_: Tell, number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


def _write_until_stopped(_: Tell, path: Path) -> None:
    """As `write_whole` does it: what is written in part is removed on the way out."""
    partial = path.with_suffix(".partial")
    try:
        partial.touch()
        time.sleep(_PATIENCE_S)
        partial.rename(path)
    except BaseException:
        partial.unlink()
        raise
