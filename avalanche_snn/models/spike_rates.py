"""Features of a spiking network for sequences: how often each neuron ahead of its readout spikes."""

from __future__ import annotations

from torch import Tensor, nn

from avalanche_snn.models.cuttable import CuttableSequential


class SpikeRates(nn.Module):
    """The layers of a network ahead of its readout, rasters `[B, T, C]` -> how often the last of them spikes, `[B, H]`.

    As the extractor of an `ExpandableClassifier`: `lambda: SpikeRates(make_model("delayed", 140, 20))`.

    Args:
        network: layers in a row, the readout last, as in `RecurrentSNN`; they are shared, not copied.
        per_steps: rates are spikes in so many time steps. Neurons spike rarely: of rates for a single step, some
            hundredths, a linear readout learns several times as slowly as of numbers around one.

    Attributes:
        layers: those layers.
        n_features: H.

    Raises:
        ValueError: a last layer that does not say how many inputs it has, or rates for no time.
    """

    def __init__(self, network: CuttableSequential, per_steps: float = 10.0) -> None:
        super().__init__()
        if not per_steps > 0:
            raise ValueError(f"SpikeRates: per_steps above 0 was wanted, {per_steps} came.")
        readout = list(network.children())[-1]
        n_features = getattr(readout, "n_inputs", None)
        if not isinstance(n_features, int):
            raise ValueError(
                f"SpikeRates wanted a network that ends in a readout with `n_inputs`, as RecurrentSNN does, but "
                f"{type(readout).__name__} came last."
            )
        self.layers = network[:-1]
        self.n_features = n_features
        self.per_steps = float(per_steps)

    def forward(self, rasters: Tensor) -> Tensor:
        """Return the rates, spikes in `per_steps` time steps."""
        rates: Tensor = self.layers(rasters).mean(dim=1) * self.per_steps
        return rates

    def extra_repr(self) -> str:
        """Describe the layer for `repr`."""
        return f"per_steps={self.per_steps:g}"
