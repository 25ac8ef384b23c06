"""One JSON object a line for everything that a strategy reports: readable while it is written, and after a crash."""

from __future__ import annotations

import json
import math
import mmap
import os
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from avalanche.evaluation.metric_results import AlternativeValues, MetricValue, TensorImage
from torch import Tensor

from avalanche_snn.logging.events import PHASE_EVENTS, EventLogger, Position, axis_of

# As many numbers as the confusion matrix of 64 classes has.
_LARGEST_LIST = 4096
_BEGINNING = b'{"kind": "'


class JSONLinesLogger(EventLogger):
    """Append every metric value and every phase event to a file, one JSON object a line.

    Lines have these keys:

    - `kind`: "metric" or "event".
    - `event`: the callback, as "before_training", "after_training_epoch", "after_eval_exp"; iterations are no events
      of their own, but metrics that they emit have lines.
    - `phase` ("train" or "eval"), `stream`, `current_experience` (its number in the stream; null between experiences).
    - `experience`, `epoch`, `iteration`, `total_iteration`: how much has been trained, over the whole run; see
      `avalanche_snn.logging.events.Position`.
    - `time`: seconds since 1970.
    - metrics: `name`, `value`, `x` (the metric's own x value, in Avalanche the training iteration) and `axis`: which
      of `iteration`, `epoch`, `experience` and `total_iteration` the curve belongs over.

    Numbers, strings and booleans are written as they are; JSON has no nan or infinity, so they are the strings "nan",
    "inf" and "-inf". Tensors and arrays of up to 4096 numbers are nested lists; of alternatives (a confusion matrix as
    an image and as numbers) the numbers are written. What has no place in a line, images and figures above all, is
    named instead: `{"left_out": "TensorImage", "shape": [3, 64, 64]}`.

    A line is written whole and handed to the operating system at once: what is in the file survives a killed process.
    A file that is there is continued; half a line at its end, left by a crash, is dropped first. A run that goes on
    from an earlier moment than the file reaches repeats what was logged in between; later lines are the valid ones.
    Copies and pickles of the logger continue the same file.

    Args:
        path: the file; its folder is made if there is none.

    Raises:
        ValueError: `path` is a folder, or a file of another kind.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(path).absolute()
        self._knows_its_epoch = False
        self._file: IO[str] | None = self._open()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned; without one, epochs are looked up in the file."""
        super().load_state_dict(state)
        self._knows_its_epoch = True

    def log_event(self, event: str, values: Sequence[MetricValue], position: Position, strategy: Any) -> None:
        """Write the values, after an event that is a beginning and before one that is an end."""
        about = {"event": event, **asdict(position), "time": time.time()}
        axis = axis_of(event)
        lines: list[dict[str, Any]] = []
        for value in values:
            metric = {"name": value.name, "value": _plain(value.value), "x": _plain(value.x_plot), "axis": axis}
            lines.append({"kind": "metric", **metric, **about})
        if event in PHASE_EVENTS:
            lines.insert(0 if event.startswith("before") else len(lines), {"kind": "event", **about})
        if self._file is None:
            self._file = self._open()
        for line in lines:
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file; a later event opens it again. Calling it twice is harmless."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> IO[str]:
        if self.path.is_dir():
            raise ValueError(f"path must name a file, but {self.path} is a folder.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size:
            _drop_torn_line(self.path)
        file = self.path.open("a", encoding="utf-8", newline="\n")
        weakref.finalize(self, file.close)
        return file

    def _follow(self, event: str, strategy: Any) -> None:
        if not self._knows_its_epoch:
            self._knows_its_epoch = True
            done = strategy.clock.train_iterations
            if done:
                written = [line["epoch"] for line in read_json_lines(self.path) if line["iteration"] <= done]
                self._epochs = written[-1] if written else 0
        super()._follow(event, strategy)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def read_json_lines(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of a `JSONLinesLogger`, in the order they were written, without half a line at the end.

    The file may be one that is being written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line, other than half a line at the end, is no JSON object.
    """
    content = Path(path).read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return [_parse(line, f"Line {number} of {path}") for number, line in enumerate(lines, start=1)]


def _parse(line: bytes, which: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{which} must be a JSON object, but {line[:60]!r} came: {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{which} must be a JSON object, but {line[:60]!r} came.")
    return value


def _drop_torn_line(path: Path) -> None:
    """Cut off what stands after the last line's end, in a file of this logger's own."""
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            end = content.rfind(b"\n") + 1
            ours = _BEGINNING.startswith(content[: len(_BEGINNING)])
            size = len(content)
        if not ours:
            raise ValueError(f"{path} was not written by a JSONLinesLogger: give another path, or remove the file.")
        if end < size:
            file.truncate(end)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, AlternativeValues):
        numbers = value.best_supported_value(bool, int, float, np.generic, Tensor, np.ndarray, str)
        value = value.alternatives[0] if numbers is None else numbers
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Tensor, np.ndarray, np.generic)) and math.prod(value.shape) <= _LARGEST_LIST:
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    measured = value.image if isinstance(value, TensorImage) else value
    shape = getattr(measured, "shape", None)
    return {"left_out": type(value).__name__, **({} if shape is None else {"shape": list(shape)})}
