"""Benchmarks: incremental streams of spike rasters for every Avalanche strategy, metric and logger."""

from avalanche_snn.benchmarks.images import CIFAR100Incremental
from avalanche_snn.benchmarks.protocols import (
    class_incremental,
    multi_class_incremental,
    sample_incremental,
    split_classes,
)
from avalanche_snn.benchmarks.shd import (
    SHDClassIncremental,
    SHDMultiClassIncremental,
    SHDSampleIncremental,
    SplitSHD,
)
from avalanche_snn.benchmarks.synthetic import (
    SplitSyntheticSpokenDigits,
    SyntheticClassIncremental,
    SyntheticMultiClassIncremental,
    SyntheticSampleIncremental,
)

__all__ = [
    "CIFAR100Incremental",
    "SHDClassIncremental",
    "SHDMultiClassIncremental",
    "SHDSampleIncremental",
    "SplitSHD",
    "SplitSyntheticSpokenDigits",
    "SyntheticClassIncremental",
    "SyntheticMultiClassIncremental",
    "SyntheticSampleIncremental",
    "class_incremental",
    "multi_class_incremental",
    "sample_incremental",
    "split_classes",
]
