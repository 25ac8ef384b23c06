"""Plugins that keep nothing from one minibatch to the next."""

from __future__ import annotations

from typing import Any

from avalanche.core import SupervisedPlugin


class StatelessPlugin(SupervisedPlugin):
    """A plugin that can be saved and resumed, as it has no state."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take nothing over."""
