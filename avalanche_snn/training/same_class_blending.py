"""Minibatches in which samples of the same class are blended."""

from __future__ import annotations

from typing import Any

from avalanche_snn.spikes.augmentation import checked_share
from avalanche_snn.spikes.blending import blend_same_class
from avalanche_snn.training.stateless_plugin import StatelessPlugin

_OF_RASTERS = 3


class SameClassBlending(StatelessPlugin):
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
        self.share = checked_share("share", share)

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"share": self.share}

    def before_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Blend the minibatch."""
        rasters, labels, *others = strategy.mbatch
        if rasters.dim() == _OF_RASTERS:
            strategy.mbatch = [blend_same_class(rasters, labels, self.share), labels, *others]
