"""Learning rates that rise and fall over the minibatches of each experience."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from avalanche.core import SupervisedPlugin

_WARM_UP = 0.3
_START = 1 / 25
_END = _START / 1e4


class LearningRateSchedule(SupervisedPlugin):
    """Let the learning rate follow a shape over all minibatches of an experience, and begin anew in the next one.

    Torch's schedulers have to know beforehand how many steps there will be; here they are counted: the epochs of the
    experience times the minibatches of the data loader, replays or not. The largest rate is the one that the optimizer
    has when the experience begins, each of its groups its own, and has again when the experience ends.

    Args:
        shape: `"one_cycle"`: from 1/25 of the rate up to it over the first 30 % of the steps and down to nearly
            nothing, both by a cosine (Smith & Topin 2017; the rates of `torch.optim.lr_scheduler.OneCycleLR`);
            `"cosine"`: from the rate down to nothing (those of `CosineAnnealingLR`); `"steps"`: a tenth of it after
            11/17 of the steps and a hundredth after 13/17, as ALADE-SNN has it after 110 and 130 of 170 epochs;
            `"constant"`.
        first_shape: of the first experience, where that is another one.

    Raises:
        ValueError: an unknown shape.
    """

    def __init__(self, shape: str = "one_cycle", *, first_shape: str | None = None) -> None:
        super().__init__()
        for name in (shape, first_shape or shape):
            if name not in SHAPES:
                raise ValueError(f"unknown shape {name!r}: choose one of {', '.join(map(repr, SHAPES))}")
        self.shape = shape
        self.first_shape = first_shape or shape
        self._rates: list[float] = []
        self._n_epochs = 0
        self._step = 0
        self._share = 1.0

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"shape": self.shape, "first_shape": self.first_shape}

    def state_dict(self) -> dict[str, Any]:
        """Return how many steps of the experience have been taken."""
        return {"step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after so many steps; all else is known when the experience begins."""
        self._step = state["step"]

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Look at the rates, and how many epochs there will be."""
        self._put_back(strategy)  # what a training that broke off has left
        if strategy.optimizer is None:
            return
        self._rates = [group["lr"] for group in strategy.optimizer.param_groups]
        self._n_epochs = strategy.train_epochs
        self._step = 0

    def before_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Set the rates of this step."""
        if not self._rates:
            return  # strategies that do not optimise have none
        first = strategy.clock.train_exp_counter == 0
        # Plugins for replay put a data loader of their own in its place, maybe after this one's `before_training_exp`.
        n_steps = max(self._step + 1, self._n_epochs * len(strategy.dataloader))
        self._share = SHAPES[self.first_shape if first else self.shape](self._step, n_steps)
        for group, rate in zip(_groups(strategy), self._rates, strict=False):
            group["lr"] = rate * self._share
        self._step += 1

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Give the optimizer its rates back."""
        self._put_back(strategy)

    def _put_back(self, strategy: Any) -> None:
        for group, rate in zip(_groups(strategy), self._rates, strict=False):
            # Who has set another rate meanwhile has meant it.
            if group["lr"] == rate * self._share:
                group["lr"] = rate
        self._rates, self._n_epochs, self._step, self._share = [], 0, 0, 1.0


def _groups(strategy: Any) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = [] if strategy.optimizer is None else strategy.optimizer.param_groups
    return groups


def _between(start: float, end: float, share: float) -> float:
    """Go from start to end by half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _constant(step: int, n_steps: int) -> float:
    return 1.0


def _one_cycle(step: int, n_steps: int) -> float:
    top = _WARM_UP * n_steps - 1
    if step <= top:
        return _between(_START, 1.0, step / top if top else 1.0)
    # A strategy may take more steps than were announced: they are the smallest.
    return _between(1.0, _END, min(1.0, (step - top) / (n_steps - 1 - top)))


def _cosine(step: int, n_steps: int) -> float:
    return _between(1.0, 0.0, min(1.0, step / n_steps))


def _steps(step: int, n_steps: int) -> float:
    return 0.1 ** sum(17 * step >= milestone * n_steps for milestone in (11, 13))


SHAPES: Mapping[str, Callable[[int, int], float]] = MappingProxyType(
    {"constant": _constant, "one_cycle": _one_cycle, "cosine": _cosine, "steps": _steps}
)
"""name -> (step from 0, number of steps) -> share of the largest rate."""
