"""Plugins for Avalanche's strategies."""

from avalanche_snn.training.compressed_latent_replay import CompressedLatentReplayPlugin
from avalanche_snn.training.exemplar_memory import ExemplarMemory
from avalanche_snn.training.losses import SeenClassesCrossEntropy
from avalanche_snn.training.memory_size import BudgetTooSmallError, format_memory_size, parse_memory_size

__all__ = [
    "BudgetTooSmallError",
    "CompressedLatentReplayPlugin",
    "ExemplarMemory",
    "SeenClassesCrossEntropy",
    "format_memory_size",
    "parse_memory_size",
]
