"""Plugins that come before the strategy's own code, and before all other plugins."""

from __future__ import annotations

from functools import partial
from typing import Any

from avalanche.core import SupervisedPlugin

_AHEAD = ("_before_training_exp", "_before_training_epoch", "_before_training_iteration", "_after_training_exp")


class PluginAhead(SupervisedPlugin):
    """A plugin with methods of these names that stand in the place of the strategy's, for the duration of `train`.

    Some strategies (DER, ER_ACE) read the experience's data, and some plugins (RWalk) the minibatch, before the turn
    of a plugin that is listed last; methods of the instance are what comes before all of them. Each calls the
    strategy's own when it is done.
    """

    def before_training(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Put the methods in their places."""
        for name in _AHEAD:
            setattr(strategy, name, partial(getattr(self, name), strategy))

    def after_training(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Give the strategy its own methods back."""
        for name in _AHEAD:
            strategy.__dict__.pop(name, None)
