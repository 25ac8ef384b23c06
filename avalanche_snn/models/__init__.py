"""Spiking networks as ordinary modules that can be cut into a front and a back."""

from avalanche_snn.models.cuttable import INPUT, CuttableSequential
from avalanche_snn.models.cutting import cut
from avalanche_snn.models.delays import DelayedCopies
from avalanche_snn.models.dropout import SpikeDropout
from avalanche_snn.models.expandable import ExpandableClassifier, ExpandableOutputs
from avalanche_snn.models.named import MODELS, NamedModel, make_model, model_settings
from avalanche_snn.models.pooling import TimePooling
from avalanche_snn.models.readouts import LeakyReadout
from avalanche_snn.models.recurrent import RecurrentSNN
from avalanche_snn.models.residual import RESIDUAL_NETWORKS, SpikingResNet, Stage
from avalanche_snn.models.spike_rates import SpikeRates

__all__ = [
    "INPUT",
    "MODELS",
    "RESIDUAL_NETWORKS",
    "CuttableSequential",
    "DelayedCopies",
    "ExpandableClassifier",
    "ExpandableOutputs",
    "LeakyReadout",
    "NamedModel",
    "RecurrentSNN",
    "SpikeDropout",
    "SpikeRates",
    "SpikingResNet",
    "Stage",
    "TimePooling",
    "cut",
    "make_model",
    "model_settings",
]
