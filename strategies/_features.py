"""What strategies that look at features see of a spiking network: how often each neuron before the readout spikes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class SpikeCounts(nn.Module):
    """Spikes of each neuron of the last hidden layer over time: rasters `[B, T, C]` -> `[B, H]`.

    Args:
        network: layers in a row, the readout last, as in `RecurrentSNN`; they are shared, not copied.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.layers = network[:-1]

    def forward(self, rasters: Tensor) -> Tensor:
        """Count spikes."""
        counts: Tensor = self.layers(rasters).sum(1)
        return counts
