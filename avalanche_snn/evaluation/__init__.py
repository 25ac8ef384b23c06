"""Metrics for Avalanche's evaluator."""

from avalanche_snn.evaluation.memory import MemoryMetric, bytes_in_use, memory_bytes, memory_metrics

__all__ = ["MemoryMetric", "bytes_in_use", "memory_bytes", "memory_metrics"]
