"""Metrics for Avalanche's evaluator."""

from avalanche_snn.evaluation.activity import Activity, record_activity
from avalanche_snn.evaluation.activity_metrics import (
    activation_sparsity_metrics,
    energy_metrics,
    spike_metrics,
    synaptic_operation_metrics,
    time_step_metrics,
)
from avalanche_snn.evaluation.memory import MemoryMetric, bytes_in_use, memory_bytes, memory_metrics
from avalanche_snn.evaluation.transfer import (
    average_incremental_accuracy,
    backward_transfer,
    final_accuracy,
    forgetting,
    forward_transfer,
)

__all__ = [
    "Activity",
    "MemoryMetric",
    "activation_sparsity_metrics",
    "average_incremental_accuracy",
    "backward_transfer",
    "bytes_in_use",
    "energy_metrics",
    "final_accuracy",
    "forgetting",
    "forward_transfer",
    "memory_bytes",
    "memory_metrics",
    "record_activity",
    "spike_metrics",
    "synaptic_operation_metrics",
    "time_step_metrics",
]
