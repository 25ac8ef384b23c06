"""What happens in a strategy as one stream of events, each with its place in training and its metric values.

Avalanche's evaluator hands every callback of a strategy on to its loggers, with the metric values that were emitted in
it. That callback is what tells which curve a value belongs to: a value that came with the end of a minibatch is one
of many of an epoch, whatever its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from avalanche.evaluation.metric_results import MetricValue
from avalanche.logging import BaseLogger

Axis = Literal["iteration", "epoch", "experience", "total_iteration"]

# Beginnings and ends; iterations are too many to be events of their own.
PHASE_EVENTS = frozenset(
    f"{when}_{what}"
    for when in ("before", "after")
    for what in ("training", "training_exp", "training_epoch", "eval", "eval_exp")
)
_OF_AN_ITERATION = ("training_iteration", "forward", "backward", "update")
_OF_AN_EVALUATION_ITERATION = ("eval_iteration", "eval_forward")
# The strategy still has, or has no, experience of what came before.
_WITHOUT_AN_EXPERIENCE = ("before_training", "after_training", "before_eval")


@dataclass(frozen=True)
class Position:
    """How far a strategy has come when something is logged.

    Attributes:
        phase: "train" or "eval".
        stream: name of the stream of the present experience, None between experiences.
        current_experience: number of the present experience in its stream, None between experiences.
        experience: how many experiences have been trained on; in the midst of one, with the fraction of its epochs.
        epoch: training epochs so far, over all experiences.
        iteration: training iterations so far, over all experiences.
        total_iteration: iterations of training and evaluation so far.
    """

    phase: Literal["train", "eval"] = "train"
    stream: str | None = None
    current_experience: int | None = None
    experience: float = 0
    epoch: int = 0
    iteration: int = 0
    total_iteration: int = 0


def axis_of(event: str) -> Axis:
    """Return which x axis the values that are emitted in a callback belong on."""
    what = event.partition("_")[2]
    if what in _OF_AN_ITERATION:
        return "iteration"
    if what in _OF_AN_EVALUATION_ITERATION:
        return "total_iteration"
    return "epoch" if what == "training_epoch" else "experience"


class EventLogger(BaseLogger, ABC):
    """A logger that is told every event of a strategy once, with the values that metrics emitted in it.

    Beginnings and ends of phases, experiences and epochs are told with or without values, other callbacks only with.
    """

    def __init__(self) -> None:
        super().__init__()
        self._experiences = 0
        self._epochs = 0
        self._fraction = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on along the same x axes, as plain values that JSON can hold."""
        return {"experiences": self._experiences, "epochs": self._epochs, "fraction": self._fraction}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, in this process or an earlier one."""
        self._experiences = state["experiences"]
        self._epochs = state["epochs"]
        self._fraction = state["fraction"]

    def log_metrics(self, metric_values: list[MetricValue]) -> None:
        """Do nothing: the evaluator passes the same values again, together with the callback they came from."""

    @abstractmethod
    def log_event(self, event: str, values: Sequence[MetricValue], position: Position, strategy: Any) -> None:
        """Take note of one event.

        Args:
            event: the callback's name, as "after_training_epoch".
            values: what metrics emitted in it, one value each.
            position: how far the strategy has come.
            strategy: the strategy.
        """

    def __getattr__(self, name: str) -> Any:
        """Answer every callback, those of strategies yet to be written included."""
        if name.startswith(("before_", "after_")):
            return partial(self._hear, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _hear(self, event: str, strategy: Any, metric_values: Sequence[MetricValue] = (), **kwargs: Any) -> None:
        self._follow(event, strategy)
        if metric_values or event in PHASE_EVENTS:
            self.log_event(event, _one_value_each(metric_values), self._position(event, strategy), strategy)

    def _follow(self, event: str, strategy: Any) -> None:
        """Count experiences and epochs.

        The strategy's clock counts too, but as the last of its plugins, after loggers and periodic evaluations have
        heard of the same end; and it does not count epochs over all experiences.
        """
        if event == "before_training_exp":
            self._fraction = 0.0
        elif event == "after_training_epoch":
            self._epochs += 1
            self._fraction = min(1.0, (strategy.clock.train_exp_epochs + 1) / max(1, strategy.train_epochs))
        elif event == "after_training_exp":
            self._experiences = strategy.clock.train_exp_counter + 1
            self._fraction = 0.0

    def _position(self, event: str, strategy: Any) -> Position:
        clock = strategy.clock
        experience = None if event in _WITHOUT_AN_EXPERIENCE else strategy.experience
        # The clock's count, for a strategy that was resumed from a checkpoint with a new logger.
        trained = max(self._experiences, clock.train_exp_counter) + self._fraction
        return Position(
            phase="eval" if strategy.is_eval else "train",
            stream=None if experience is None else experience.origin_stream.name,
            current_experience=None if experience is None or event == "after_eval" else experience.current_experience,
            experience=trained if trained % 1 else int(trained),
            epoch=self._epochs,
            iteration=clock.train_iterations,
            total_iteration=clock.total_iterations,
        )


def _one_value_each(values: Sequence[MetricValue]) -> list[MetricValue]:
    """Take values apart that are dictionaries, and name the parts as Avalanche's loggers do: name/key."""
    parts: list[MetricValue] = []
    for value in values:
        if isinstance(value.value, dict):
            for key, part in value.value.items():
                parts.append(MetricValue(value.origin, f"{value.name}/{key}", part, value.x_plot))
        else:
            parts.append(value)
    return parts
