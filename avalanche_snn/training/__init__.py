"""Plugins for Avalanche's strategies."""

from avalanche_snn.training.alade import ALADE, DynamicallyExpandable
from avalanche_snn.training.compressed_latent_replay import CompressedLatentReplayPlugin
from avalanche_snn.training.data_parallel import DataParallel
from avalanche_snn.training.exemplar_memory import ExemplarMemory
from avalanche_snn.training.expansion import ExpansionPlugin
from avalanche_snn.training.gradient_clipping import GradientClipping
from avalanche_snn.training.herded_exemplars import HerdedExemplars
from avalanche_snn.training.learning_rate_schedule import LearningRateSchedule
from avalanche_snn.training.logit_alignment import LogitAlignment
from avalanche_snn.training.losses import SeenClassesCrossEntropy
from avalanche_snn.training.memory_size import BudgetTooSmallError, format_memory_size, parse_memory_size
from avalanche_snn.training.same_class_blending import SameClassBlending
from avalanche_snn.training.second_stage import SecondStage
from avalanche_snn.training.seen_classes_prediction import SeenClassesPrediction
from avalanche_snn.training.sparse_spikes import SparseSpikes
from avalanche_snn.training.weight_alignment import WA, WeightAlignment

__all__ = [
    "ALADE",
    "WA",
    "BudgetTooSmallError",
    "CompressedLatentReplayPlugin",
    "DataParallel",
    "DynamicallyExpandable",
    "ExemplarMemory",
    "ExpansionPlugin",
    "GradientClipping",
    "HerdedExemplars",
    "LearningRateSchedule",
    "LogitAlignment",
    "SameClassBlending",
    "SecondStage",
    "SeenClassesCrossEntropy",
    "SeenClassesPrediction",
    "SparseSpikes",
    "WeightAlignment",
    "format_memory_size",
    "parse_memory_size",
]
