"""Features of a spiking network for sequences: how often each neuron ahead of its readout spikes."""

from __future__ import annotations

from torch import Tensor, nn

from avalanche_snn.models.cuttable import CuttableSequential


class SpikeRates(nn.Module):
    """The layers of a network ahead of its readout, rasters `[B, T, C]` -> mean spikes of the last over time, `[B, H]`.

    As the extractor of an `ExpandableClassifier`: `lambda: SpikeRates(make_model("delayed", 140, 20))`.

    Args:
        network: layers in a row, the readout last, as in `RecurrentSNN`; they are shared, not copied.

    Attributes:
        layers: those layers.
        n_features: H.

    Raises:
        ValueError: a last layer that does not say how many inputs it has.
    """

    def __init__(self, network: CuttableSequential) -> None:
        super().__init__()
        readout = list(network.children())[-1]
        n_features = getattr(readout, "n_inputs", None)
        if not isinstance(n_features, int):
            raise ValueError(
                f"SpikeRates wanted a network that ends in a readout with `n_inputs`, as RecurrentSNN does, but "
                f"{type(readout).__name__} came last."
            )
        self.layers = network[:-1]
        self.n_features = n_features

    def forward(self, rasters: Tensor) -> Tensor:
        """Return the rates, spikes a time step."""
        rates: Tensor = self.layers(rasters).mean(dim=1)
        return rates
