"""What lies around a training step of the paper's network: loading, cached latents, opening the data."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from torch import nn

from avalanche_snn.benchmarks import SHDClassIncremental
from avalanche_snn.datasets import SHD
from avalanche_snn.models import SpikeDropout
from avalanche_snn.neurons import available_kernels
from benchmarks.speed.contestants import Network
from benchmarks.speed.loading import time_incremental_epoch, time_loading
from benchmarks.speed.ours import calibrated_weights, our_network
from benchmarks.speed.workloads import WORKLOADS, minibatch

_NEURON = "delayed_synaptic"
_N_ROUNDS = 7
_N_MINIBATCHES = 30
_DROPOUT, _SPIKING = 0.1, 0.05
_DROPPED = (128, 100, 256)  # spikes [B, T, H]


def measure_pipeline() -> dict[str, Any]:
    """Measure with the fastest kernel that runs here, on SHD, 19 classes and then the 20th.

    Returns:
        Medians: `loading_ms` of a minibatch through the strategy's own loader, `sample_by_sample_ms` of the same as
        Avalanche loads any other data set, `step_ms` of a training step, `cached_epoch_ms`, `recomputed_epoch_ms` and
        `with_gradients_epoch_ms` of an incremental epoch (see `EpochTimes`), `opening_s` of both files of SHD with
        their `n_opened` samples; `dropout_ms` of a layer's spikes both ways, and `torch_dropout_ms` by torch's own; and
        the `kernel`.

    Raises:
        FileNotFoundError: no SHD here.
    """
    opening, n_opened = _opening()
    workload = WORKLOADS["paper"]
    data = minibatch(workload)
    network = our_network(workload, _NEURON, "auto", calibrated_weights(workload, _NEURON, data))
    benchmark = SHDClassIncremental(n_pretrain_classes=19, seed=0, dtype=torch.uint8)
    first, second = benchmark.train_stream
    training = Network(network, data.rasters, data.labels, lambda _: [])
    steps = [training.train()[1] for _ in range(_N_MINIBATCHES + 1)][1:]
    loading = time_loading(first, workload.batch, _N_MINIBATCHES)
    epochs = time_incremental_epoch(
        network,
        first,
        second,
        minibatch=workload.batch,
        n_rounds=_N_ROUNDS,
        optimizer=lambda parameters: torch.optim.Adamax(parameters, lr=0.0),
    )
    dropout, torch_dropout = _dropping()
    return {
        "kernel": next(name for name, reason in available_kernels().items() if reason is None),
        "loading_ms": 1000 * loading.whole_batches,
        "sample_by_sample_ms": 1000 * loading.sample_by_sample,
        "step_ms": 1000 * median(steps),
        "cached_epoch_ms": 1000 * epochs.cached,
        "recomputed_epoch_ms": 1000 * epochs.recomputed,
        "with_gradients_epoch_ms": 1000 * epochs.with_gradients,
        "opening_s": opening,
        "n_opened": n_opened,
        "dropout_ms": 1000 * dropout,
        "torch_dropout_ms": 1000 * torch_dropout,
    }


def _dropping() -> tuple[float, float]:
    """Seconds that dropout of a minibatch of spikes takes both ways, ours and torch's, in turn."""
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(_DROPPED, generator=generator) < _SPIKING).float().requires_grad_()
    gradient = torch.ones_like(spikes)
    layers = SpikeDropout(_DROPOUT), nn.Dropout(_DROPOUT)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_N_MINIBATCHES + 1):
        for layer, times in zip(layers, seconds, strict=True):
            spikes.grad = None
            started = time.perf_counter()
            layer(spikes).backward(gradient)
            times.append(time.perf_counter() - started)
    return median(seconds[0][1:]), median(seconds[1][1:])


def _opening() -> tuple[float, int]:
    """Seconds to open both files of SHD, which were opened before, and how many samples they have."""
    seconds, n_samples = [], 0
    for _ in range(_N_ROUNDS + 1):
        started = time.perf_counter()
        n_samples = sum(len(SHD(train=train, download=False)) for train in (True, False))
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:]), n_samples
