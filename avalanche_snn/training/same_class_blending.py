"""Minibatches in which samples of the same class are blended."""

from __future__ import annotations

from typing import Any

from avalanche.core import SupervisedPlugin

from avalanche_snn.spikes.blending import blend_same_class, require_share

_OF_RASTERS = 3


class SameClassBlending(SupervisedPlugin):
    """Blend some samples of each training minibatch with others of their class, see `spikes.blend_same_class`.

    Only rasters, `[B, T, C]`, are blended; the packed latents of a frozen front are left as they are. Replays of
    rasters that were added to the minibatch by then are blended like new samples.

    Args:
        share: the probability with which a sample is replaced by a blend, from 0 to 1.

    Raises:
        TypeError: `share` is no number.
        ValueError: it is below 0 or above 1.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        require_share(share)
        self.share = float(share)

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"share": self.share}

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is no state; draws are torch's own."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take nothing over."""

    def before_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Blend the minibatch."""
        rasters, labels, *others = strategy.mbatch
        if rasters.dim() == _OF_RASTERS:
            strategy.mbatch = [blend_same_class(rasters, labels, self.share), labels, *others]
