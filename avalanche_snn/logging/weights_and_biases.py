"""Weights & Biases as a logger of Avalanche's evaluator."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

import numpy as np
import torch
import wandb
from avalanche.evaluation.metric_results import MetricValue
from avalanche.evaluation.metrics import ExperienceAccuracy
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from avalanche_snn.logging.accuracy_matrix import AccuracyMatrix
from avalanche_snn.logging.configuration import run_configuration, training_schedule
from avalanche_snn.logging.events import Axis, EventLogger, Position, axis_of
from avalanche_snn.logging.history_values import history_value
from avalanche_snn.logging.images import raster_image

Mode = Literal["online", "offline", "disabled"]
_MOST_TAG_CHARACTERS = 64
# What W&B refuses in names that become parts of addresses.
_RESERVED = {"project": "/\\#?%:", "run_id": "/\\#?%:;,'"}
_CONFIGURATION = ("strategy", "plugins", "criterion", "model", "optimizer", "schedule")


class WeightsAndBiasesLogger(EventLogger):
    """Log a run to Weights & Biases, online or into a folder.

    Beside the other loggers of an `EvaluationPlugin`; it works with any strategy and any metric. The run starts with
    the first `train` or `eval`. It holds:

    - *Curves*, each over its own x axis: what is emitted every minibatch over `iteration`, every epoch over `epoch`,
      everything else (experiences, streams, evaluations) over `experience`, the number of experiences trained on; an
      evaluation in the midst of one, as by `eval_every`, stands at the fraction of its epochs. Metrics of evaluation
      minibatches are drawn over `total_iteration`.
    - *The accuracy matrix* of each evaluated stream, redrawn as a heat map after every evaluation between experiences:
      `accuracy_matrix/test_stream`, with `accuracy_metrics(experience=True)` among the metrics.
    - *Images*: whatever metrics emit as figures, images or matrices (confusion matrices), and `log_raster`. Other
      tensors become histograms; of alternatives the picture is taken. Bytes (Avalanche's `WeightCheckpoint`) are not
      logged, see `log_model`.
    - *Configuration*: strategy, plugins, model and optimizer with their public settings, `schedule` (epochs,
      minibatch size and learning rates, and from which experience on), and your own `config`.
    - *Summary*: the last value of every metric, which after the last evaluation are the final figures.
    - *Artifacts*, on request: the model's state dict after each experience, as versions of one artifact.

    W&B never stops a training: if it fails, in whatever way, a warning says where and why, once, and the logger does
    nothing more. Your own mistakes in the arguments are errors.

    The logger can be copied and pickled with its strategy, as Avalanche's checkpoints do. A copy logs to the same run.
    A logger from a pickle resumes its run, with its axes and its accuracy matrix, at the first thing that it logs; what
    the interrupted run had logged after the pickle stays. Elsewhere `run_id` resumes a run, and `load_state_dict` puts
    axes and matrix back. W&B knows of earlier runs on its server only: offline, a resumed run is a second folder with
    the same run id.

    Args:
        project: W&B project; W&B's own default without.
        entity: user or team to whom the project belongs; W&B's own default without.
        name: of the run; W&B makes one up without.
        group: runs that belong together, as the seeds of one setting.
        tags: up to 64 characters each.
        config: your own settings (a seed, a data split, ...), beside those that are collected.
        dir: folder in which W&B makes its folder "wandb", with one folder a run; without, that of the
            variable WANDB_DIR, or ".".
        mode: "online", "offline" (into the folder, for `wandb sync` later) or "disabled" (nothing at all). Without,
            what W&B's environment variable WANDB_MODE says, otherwise "online".
        run_id: a run of this project to resume, or the id of a new one.
        log_model: log the model's state dict after each training experience (read it with `torch.load`). Offline, W&B
            keeps artifacts in its own data folder (WANDB_DATA_DIR) until they are uploaded.

    Raises:
        ValueError: an unknown mode; names, tags or a run id that W&B would refuse; a `dir` that is a file; a `config`
            with the name of a collected part.
    """

    def __init__(
        self,
        project: str | None = None,
        *,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
        dir: str | os.PathLike[str] | None = None,
        mode: Mode | None = None,
        run_id: str | None = None,
        log_model: bool = False,
    ) -> None:
        super().__init__()
        _check_arguments(project, tags, config, dir, mode, run_id)
        self.run_id = run_id
        self._options: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "name": name,
            "group": group,
            "tags": list(tags) or None,
            # W&B itself looks at folder and environment only once a process.
            "dir": str(Path(dir or os.environ.get("WANDB_DIR") or ".").absolute()),
            "mode": mode,
        }
        self._config = dict(config or {})
        self._log_model = log_model
        self._run: wandb.Run | None = None
        self._finished = False
        self._silent = False
        self._configured = False
        self._schedule: list[dict[str, Any]] = []
        self._axes: dict[str, Axis] = {}
        self._matrices: dict[str, AccuracyMatrix] = {}
        self._last_trained: int | None = None
        self._here = Position()

    @property
    def run(self) -> wandb.Run | None:
        """W&B's own run, for whatever else it can do; None before the first event, after `finish` and after a fault."""
        return None if self._finished or self._silent else self._run

    def log_raster(self, name: str, raster: ArrayLike | Tensor) -> None:
        """Log a spike raster as an image, at the present place in training.

        Args:
            name: under which rasters of later moments are found too.
            raster: `[T, C]`, spikes or spike counts of one sample.

        Raises:
            ValueError: another shape.
        """
        spikes = np.asarray(raster.detach().cpu() if isinstance(raster, Tensor) else raster, dtype=np.float64)
        if spikes.ndim != 2 or not spikes.size:
            raise ValueError(f"raster must be of one sample, [T, C], but the shape {list(spikes.shape)} came.")
        self._attempt("log a raster", lambda: self._log({name: raster_image(spikes)}, "experience", self._here))

    def finish(self, exit_code: int = 0) -> None:
        """End the run; W&B writes and uploads what is left. Calling it twice is harmless.

        Args:
            exit_code: W&B shows the run as failed unless it is 0.
        """
        run = self.run
        if run is not None:
            self._attempt("finish the run", lambda: run.finish(exit_code=exit_code))
            self._finished = True

    def __enter__(self) -> WeightsAndBiasesLogger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(0 if error is None else 1)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on with the same run, axes and accuracy matrix, as plain values."""
        return {
            **super().state_dict(),
            "run_id": self.run_id,
            "schedule": copy.deepcopy(self._schedule),
            "matrices": {stream: matrix.state_dict() for stream, matrix in self._matrices.items()},
            "last_trained": self._last_trained,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, before anything is logged.

        The run is the state's, unless a `run_id` was given.
        """
        super().load_state_dict(state)
        self.run_id = self.run_id or state["run_id"]
        self._schedule = copy.deepcopy(state["schedule"])
        self._matrices = {stream: AccuracyMatrix.of_state(matrix) for stream, matrix in state["matrices"].items()}
        self._last_trained = state["last_trained"]

    def log_event(self, event: str, values: Sequence[MetricValue], position: Position, strategy: Any) -> None:
        """Log what was emitted in one callback as one row of the run's history."""
        self._attempt(f"log {event}", lambda: self._log_event(event, values, position, strategy))

    def _log_event(self, event: str, values: Sequence[MetricValue], position: Position, strategy: Any) -> None:
        self._here = position
        if not self._configured:
            self._configured = True
            self._configure(run_configuration(strategy))
        if event == "before_training_exp":
            self._last_trained = position.current_experience
            self._note_schedule(strategy)
        self._log_values(values, axis_of(event), position)
        self._fill_matrices(event, values, position)
        if event == "after_training_exp" and self._log_model:
            self._log_state_dict(strategy, position)

    def _start(self) -> wandb.Run:
        if self._run is None:
            # W&B turns to the system's folder for temporary files where there is none.
            Path(self._options["dir"]).mkdir(parents=True, exist_ok=True)
            resume: Literal["allow"] | None = None if self.run_id is None else "allow"
            # Else a run that is still open would be taken for ours.
            self._run = wandb.init(**self._options, id=self.run_id, resume=resume, reinit="create_new")
            self.run_id = self._run.id
            self._configure(self._config)
            self._axes = {}
            for axis in get_args(Axis):
                self._run.define_metric(axis, hidden=True)
        return self._run

    def _configure(self, settings: Mapping[str, Any]) -> None:
        config: Any = self._start().config
        # A resumed run has been configured before.
        config.update(dict(settings), allow_val_change=True)

    def _log(self, values: Mapping[str, Any], axis: Axis, position: Position) -> None:
        """Log one row of the history, with the place in training on every axis."""
        run = self._start()
        for name in values:
            if name not in self._axes:
                self._axes[name] = axis
                run.define_metric(name, step_metric=axis)
        row = {name: wandb.Image(value) if isinstance(value, Image.Image) else value for name, value in values.items()}
        run.log({**{axis: getattr(position, axis) for axis in get_args(Axis)}, **row})

    def _log_values(self, values: Sequence[MetricValue], axis: Axis, position: Position) -> None:
        rows: dict[int, dict[str, Any]] = {}
        for value in values:
            shown = history_value(value.value)
            if shown is not None:
                # A metric may know better than the clock at which minibatch it belongs.
                x = value.x_plot if axis == "iteration" else position.iteration
                rows.setdefault(x, {})[value.name] = shown
        for x, row in rows.items():
            self._log(row, axis, replace(position, iteration=x))

    def _fill_matrices(self, event: str, values: Sequence[MetricValue], position: Position) -> None:
        if position.stream is None or position.experience % 1:
            return
        if event == "after_eval_exp" and position.current_experience is not None:
            for value in values:
                if isinstance(value.origin, ExperienceAccuracy):
                    matrix = self._matrices.setdefault(position.stream, AccuracyMatrix())
                    last = self._last_trained if position.experience else None
                    matrix.set(int(position.experience), last, position.current_experience, float(value.value))
        if event == "after_eval" and position.stream in self._matrices:
            picture = self._matrices[position.stream].draw()
            self._log({f"accuracy_matrix/{position.stream}_stream": picture}, "experience", position)

    def _note_schedule(self, strategy: Any) -> None:
        settings = training_schedule(strategy)
        known = {k: v for k, v in self._schedule[-1].items() if k != "from_experience"} if self._schedule else None
        if settings != known:
            self._schedule.append({"from_experience": self._last_trained, **settings})
        self._configure({"schedule": self._schedule})

    def _log_state_dict(self, strategy: Any, position: Position) -> None:
        run = self._start()
        metadata = {"experience": position.current_experience, "n_trained": position.experience}
        artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=metadata)
        with artifact.new_file("state_dict.pt", mode="wb") as file:
            torch.save(strategy.model.state_dict(), file)
        run.log_artifact(artifact, aliases=["latest", f"experience-{position.current_experience}"])

    def _attempt(self, action: str, do: Callable[[], None]) -> None:
        """Survive whatever goes wrong, and say so once."""
        if self._finished:
            self._fall_silent(f"could not {action}: the run is finished, and nothing more is logged to it.")
        if self._silent:
            return
        try:
            do()
        except Exception as error:
            self._fall_silent(
                f"could not {action} ({type(error).__name__}: {error}). Training goes on, nothing more is logged there."
            )

    def _fall_silent(self, reason: str) -> None:
        if not self._silent:
            self._silent = True
            warnings.warn(f"Weights & Biases {reason}", RuntimeWarning, stacklevel=2)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the connection to W&B behind: whoever reads the pickle resumes the run by its id."""
        return {**self.__dict__, "_run": None, "_configured": False, "_finished": False, "_silent": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> WeightsAndBiasesLogger:
        """Return a logger of its own that logs to the same run."""
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        for name, value in self.__dict__.items():
            other.__dict__[name] = value if name == "_run" else copy.deepcopy(value, memo)
        return other


def _check_arguments(
    project: str | None,
    tags: Sequence[str],
    config: Mapping[str, Any] | None,
    dir: str | os.PathLike[str] | None,
    mode: str | None,
    run_id: str | None,
) -> None:
    """Find mistakes of the user's before W&B, whose failures are survived, meets them."""
    if mode is not None and mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, but {mode!r} came.")
    for what, text in (("project", project), ("run_id", run_id)):
        if text is not None and (not text.strip() or set(_RESERVED[what]) & set(text)):
            raise ValueError(f"{what} must be a name without any of {' '.join(_RESERVED[what])}, but {text!r} came.")
    if isinstance(tags, str):
        raise ValueError(f"tags must be a list of tags, but the string {tags!r} came: write [{tags!r}].")
    for tag in tags:
        if not isinstance(tag, str) or not 1 <= len(tag) <= _MOST_TAG_CHARACTERS:
            raise ValueError(f"A tag must have 1 to {_MOST_TAG_CHARACTERS} characters, but {tag!r} came.")
    if dir is not None and Path(dir).is_file():
        raise ValueError(f"dir must name a folder, but {dir} is a file.")
    taken = sorted(set(config or {}) & set(_CONFIGURATION))
    if taken:
        raise ValueError(f"config must not contain {', '.join(taken)}: these the logger collects itself. Rename yours.")
