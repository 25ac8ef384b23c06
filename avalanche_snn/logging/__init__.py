"""Loggers for Avalanche's evaluator: Weights & Biases, and JSON lines."""

from avalanche_snn.logging.json_lines import JSONLinesLogger, read_json_lines
from avalanche_snn.logging.weights_and_biases import WeightsAndBiasesLogger

__all__ = ["JSONLinesLogger", "WeightsAndBiasesLogger", "read_json_lines"]
