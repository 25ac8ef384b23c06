"""The bench of speed: what it compares is the same, what it counts is right, and it can notice a fault."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avalanche_snn.neurons import DelayedSynaptic, Leaky, SpikingLayer
from avalanche_snn.neurons.kernels import KERNELS
from benchmarks.speed import equality, maps, peers, worker
from benchmarks.speed.contestants import (
    MEASURES,
    NORSE,
    PRODUCTS,
    SNNTORCH,
    SPIKINGJELLY,
    Missing,
    Network,
    make_all,
    names,
)
from benchmarks.speed.memory import peak_of_a_step
from benchmarks.speed.ours import HIDDEN_DENSITY, Weights, calibrated_weights, hidden_layers, our_network
from benchmarks.speed.plan import PLANS, SECTIONS
from benchmarks.speed.products import Products
from benchmarks.speed.record import read_speed_record
from benchmarks.speed.run import measure
from benchmarks.speed.timing import spread, time_in_turn
from benchmarks.speed.workloads import SWEEPS, WORKLOADS, Workload, minibatch, sweep_workload

SMALL = Workload(("synaptic", "delayed_synaptic"), (24, 16), "random", 30, batch=8, density=0.1, n_inputs=50)


@pytest.fixture(autouse=True)
def same_threads() -> Any:
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


def test_a_run_of_everything_at_no_size(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = measure("tiny", path, carry_out=worker.carry_out)

    assert read_speed_record(path) == record
    assert [name for name in record if name != "quick"] == list(SECTIONS)
    (steps,) = record["steps"]["results"]
    expected = names(PLANS["tiny"].workload("paper-random"))
    assert set(steps["times"]) | set(steps["missing"]) == set(expected)
    assert {SNNTORCH, "torch/synaptic", "reference/synaptic", PRODUCTS} <= set(steps["times"])
    for times in steps["times"].values():
        assert list(times) == list(MEASURES)
        for measured in times.values():
            assert 0 < measured["ms"]["lower"] <= measured["ms"]["median"] <= measured["ms"]["upper"]
    assert steps["times"][SNNTORCH]["step"]["faster"] == {"median": 1.0, "lower": 1.0, "upper": 1.0}
    alone, network = record["maps"]["results"]
    assert {SNNTORCH, "reference/maps", "torch/maps"} <= set(alone["times"])
    assert alone["times"][SNNTORCH]["step"]["faster"]["median"] == 1.0
    assert {"reference/maps", "torch/maps", maps.NO_NEURONS} <= set(network["times"])
    assert network["compared_with"] == "reference/maps"
    assert [point["value"] for point in record["sweeps"]["results"]] == [25, 100]
    compared = [result for result in record["equality"]["results"] if "cells" in result]
    assert {result["dtype"] for result in compared} == {"float32", "float64"}
    assert all(result["unexplained"] == 0 for result in compared)
    assert torch.__version__.startswith(record["steps"]["environment"]["versions"]["torch"])


def test_one_section_is_measured_again_and_the_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    said: list[str] = []

    def carry_out(job: dict[str, Any]) -> Any:
        said.append(job["kind"])
        return {"from": len(said)}

    before = measure("tiny", path, carry_out=carry_out, only=["equality", "sweeps"])
    after = measure("tiny", path, carry_out=carry_out, only=["sweeps"])
    assert said == ["environment", "equality", "sweeps", "environment", "sweeps"]
    assert after["equality"] == before["equality"]
    assert after["sweeps"]["results"] == {"from": 5}
    with pytest.raises(ValueError, match="holds a quick run: it is not mixed with another"):
        measure("full", path, carry_out=carry_out, only=["sweeps"])
    with pytest.raises(ValueError, match="there is no section 'speed'; there are equality"):
        measure("tiny", path, carry_out=carry_out, only=["speed"])


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cpu.json"
    with pytest.raises(FileNotFoundError, match=r"`python -m benchmarks speed` measures"):
        read_speed_record(path)
    path.write_text('{"quick": fa')
    with pytest.raises(ValueError, match="Delete it and measure again"):
        read_speed_record(path)
    path.write_text(json.dumps({"quick": True, "steps": {}}))
    with pytest.raises(ValueError, match="each with `environment` and `results`"):
        read_speed_record(path)


JOB = {"kind": "equality", "plan": "tiny", "device": "cpu", "threads": 1}


@pytest.mark.slow
def test_a_process_measures_what_it_is_asked_for() -> None:
    assert worker.measure_in_a_process(JOB) == worker.carry_out(JOB)


def test_a_process_that_fails_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match=r"exit status 1; the job was \{.kind.: .equality."):
        worker.measure_in_a_process(JOB)


def test_ours_and_snntorch_have_the_same_spikes() -> None:
    data = minibatch(SMALL)
    chosen = [SNNTORCH, "reference/synaptic", "torch/synaptic"]
    theirs, *ours = (network for _, network in make_all(SMALL, data, chosen))
    assert isinstance(theirs, Network)
    expected = theirs._hidden_spikes(theirs.inputs)
    for network in ours:
        assert isinstance(network, Network)
        spikes = network._hidden_spikes(network.inputs)
        for layer, layer_of_theirs in zip(spikes, expected, strict=True):
            assert 0.01 < layer.mean() < 0.5
            assert torch.equal(layer, layer_of_theirs.transpose(0, 1))


@pytest.mark.parametrize("neuron", ["synaptic", "delayed_synaptic", "adaptive"])
def test_calibrated_layers_spike_as_trained_ones_do(neuron: str) -> None:
    workload = replace(SMALL, neurons=(neuron,), hidden=(60, 60), batch=32)
    data = minibatch(workload)
    network = our_network(workload, neuron, "torch", calibrated_weights(workload, neuron, data))
    x = data.rasters
    for layer in hidden_layers(network.requires_grad_(False)):
        x = layer(x)
        assert x.mean() == pytest.approx(HIDDEN_DENSITY, abs=0.02)


def test_everyone_is_given_the_same_weights_and_trains_them_without_moving_them() -> None:
    data = minibatch(SMALL)
    weight = calibrated_weights(SMALL, "synaptic", data).layers[0][0]
    for name, made in make_all(SMALL, data, [SNNTORCH, SPIKINGJELLY, "torch/synaptic"]):
        if isinstance(made, Missing):
            continue
        assert isinstance(made, Network)
        made.train()
        made.check()
        assert any(torch.equal(parameter, weight) for parameter in made.network.parameters()), name


@pytest.mark.parametrize("name", [SNNTORCH, NORSE, SPIKINGJELLY])
def test_other_libraries_learn_from_every_weight(name: str) -> None:
    data = minibatch(SMALL)
    ((_, made),) = make_all(SMALL, data, [name])
    if isinstance(made, Missing):
        pytest.skip(made.reason)
    assert isinstance(made, Network)
    assert made.network(made.inputs).shape == (SMALL.batch, SMALL.n_classes)
    assert all(0 < density < 1 for density in made.hidden_density())
    made.train()
    assert all(parameter.grad.abs().max() > 0 for parameter in made.network.parameters() if parameter.grad is not None)
    assert sum(parameter.grad is not None for parameter in made.network.parameters()) == 2 * len(SMALL.hidden) + 1
    logits = made.network(made.inputs)
    assert torch.equal(made.network(made.inputs), logits), "nothing is left over from the call before"


@pytest.mark.parametrize("library", [peers.NorseNetwork, peers.SpikingJellyNetwork])
def test_up_to_its_first_spike_a_neuron_of_another_library_is_ours(library: type[nn.Module]) -> None:
    """Resets differ, and so does what comes back after the first spikes: without recurrence these are the same."""
    data = minibatch(SMALL)
    (weight, recurrent_weight), *_ = calibrated_weights(SMALL, "synaptic", data).layers
    weights = Weights(((weight, torch.zeros_like(recurrent_weight)),), torch.ones(SMALL.n_classes, len(weight)))
    one_layer = replace(SMALL, hidden=SMALL.hidden[:1])
    (ours,) = hidden_layers(our_network(one_layer, "synaptic", "reference", weights))
    try:
        network: Any = library(weights)
    except ImportError as error:
        pytest.skip(str(error))
    expected = ours(data.rasters).cumsum(dim=1) > 0
    assert expected[:, -1].float().mean() > 0.5
    (spikes,) = network.hidden_spikes(data.time_first)
    assert torch.equal(spikes.transpose(0, 1).cumsum(dim=1) > 0, expected)


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", refuse)
    made = dict(make_all(SMALL, minibatch(SMALL), [NORSE, "torch/synaptic"]))
    assert made[NORSE] == Missing("ModuleNotFoundError: No module named 'norse.torch'")
    assert isinstance(made["torch/synaptic"], Network)


def test_a_network_whose_gradients_overflow_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.SnnTorchNetwork, "forward", lambda self, x: self.readout(x[..., :16].sum(dim=0)) * 1e38)
    made = dict(make_all(SMALL, minibatch(SMALL), [SNNTORCH, PRODUCTS], warm_up=True))
    assert isinstance(made[SNNTORCH], Missing)
    assert "has no gradient, or one that is not finite" in made[SNNTORCH].reason
    assert not isinstance(made[PRODUCTS], Missing)


def test_who_has_no_adaptive_neuron_says_so() -> None:
    workload = replace(SMALL, neurons=("adaptive",))
    made = dict(make_all(workload, minibatch(workload), [SNNTORCH, SPIKINGJELLY]))
    assert made == dict.fromkeys((SNNTORCH, SPIKINGJELLY), Missing("has no recurrent adaptive neuron"))


def test_minibatches_are_the_same_each_time_and_as_dense_as_asked() -> None:
    workload = sweep_workload("density (%)", 5)
    assert torch.equal(minibatch(workload).rasters, minibatch(workload).rasters)
    assert not torch.equal(minibatch(workload).rasters, minibatch(workload, 1).rasters)
    assert minibatch(workload).density == pytest.approx(0.05, abs=1e-3)
    assert torch.equal(minibatch(workload).time_first[3, 5], minibatch(workload).rasters[5, 3])
    assert sweep_workload("time steps", 25).n_steps == 25
    assert sweep_workload("neurons", 64).hidden == (64,)
    assert all(value in SWEEPS["neurons"] for value in (64, 1024))


class Scripted:
    """A contestant whose clock is written out beforehand, and who tells when it runs."""

    def __init__(self, name: str, seconds: list[float], runs: list[str]) -> None:
        self.name, self.seconds, self.runs = name, iter(seconds), runs

    def forward(self) -> float:
        return 1.0

    def train(self) -> tuple[float, float]:
        self.runs.append(self.name)
        seconds = next(self.seconds)
        return seconds, 2 * seconds

    def check(self) -> None:
        pass

    def hidden_density(self) -> list[float]:
        return []


def test_rounds_alternate_and_ratios_are_of_medians_with_quartiles_by_round() -> None:
    runs: list[str] = []
    slow = Scripted("slow", [8.0, 10.0, 12.0, 10.0, 20.0], runs)
    fast = Scripted("fast", [2.0, 5.0, 2.0, 5.0, 4.0], runs)
    times = time_in_turn({"slow": slow, "fast": fast}, 5, "slow", lambda: None)
    assert runs == ["slow", "fast", "fast", "slow"] * 2 + ["slow", "fast"]
    assert times["slow"]["forward and backward"]["ms"] == {"median": 10_000.0, "lower": 10_000.0, "upper": 12_000.0}
    assert times["slow"]["step"]["ms"]["median"] == 20_000.0
    # 10 / 4 of the medians; the rounds' own ratios are 4, 2, 6, 2, 5.
    assert times["fast"]["step"]["faster"] == {"median": 2.5, "lower": 2.0, "upper": 5.0}
    assert spread([7.0]) == {"median": 7.0, "lower": 7.0, "upper": 7.0}


def test_the_floor_has_every_product_of_a_training_step() -> None:
    generator = torch.Generator().manual_seed(0)
    w1, v1, w2, v2, readout = (
        torch.rand(shape, generator=generator) for shape in ((4, 6), (4, 4), (3, 4), (3, 3), (2, 3))
    )
    products = Products(Weights(((w1, v1), (w2, v2)), readout), torch.rand(5, 7, 6, generator=generator))
    products.forward()
    products.backward()
    for left, right, result in products._forward + products._backward:
        torch.testing.assert_close(result, left @ right)
    # 35 rows; multiply-adds of a forward pass: every weight once a row.
    assert _work(products._forward) == 35 * (24 + 16 + 12 + 9 + 6)
    # Backward: again for its gradient, and once more for that of what it was multiplied with, but for the input.
    assert _work(products._backward) == 35 * (2 * (24 + 16 + 12 + 9 + 6) - 24)


def _work(products: list[tuple[Tensor, Tensor, Tensor]]) -> int:
    return sum(left.shape[0] * left.shape[1] * right.shape[1] for left, right, _ in products)


class Hoarder(nn.Module):
    """Has a megabyte for each sample while it works, and keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        held = torch.ones(len(x), 250_000)
        return self.weight + 0.0 * held.sum()


def test_peak_memory_is_what_a_step_needs_at_once() -> None:
    samples = torch.zeros(128, 1, 1)
    network = Network(Hoarder(), samples, torch.zeros(128, dtype=torch.int64), lambda x: [])
    network.network.forward = lambda x: Hoarder.forward(network.network, x).expand(len(x), 3)  # type: ignore[method-assign]
    assert peak_of_a_step(network) == pytest.approx(128e6, rel=0.1)


def test_a_spike_that_rounding_does_not_explain_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    run = KERNELS["torch"].run

    def faulty(currents: Tensor, *rest: Any) -> Tensor:
        spikes = run(currents, *rest).clone()
        spikes[2, 5, 0] = 1.0 - spikes[2, 5, 0]
        return spikes

    workload = replace(SMALL, neurons=("synaptic",))
    sound = [r for r in equality.compare_kernels(workload, "synaptic", 1) if r["kernel"] == "torch"]
    assert [(r["cells"], r["samples"], r["rounded"], r["unexplained"]) for r in sound] == [(8 * 30 * 40, 16, 0, 0)] * 2
    monkeypatch.setattr(KERNELS["torch"], "run", faulty)
    found = [r for r in equality.compare_kernels(workload, "synaptic", 1) if r["kernel"] == "torch"]
    assert [(r["rounded"], r["unexplained"]) for r in found] == [(0, 2), (0, 2)], "one sample in each of two layers"


def test_only_the_first_difference_of_a_sample_has_to_be_near_the_threshold() -> None:
    expected, distances = torch.zeros(2, 5, 3), torch.full((2, 5, 3), 0.5)
    spikes = expected.clone()
    spikes[0, 2, 1] = spikes[0, 4, 0] = 1.0
    distances[0, 2, 1] = 5e-6
    count = equality._Count(torch.float32)
    count.add(spikes, expected, distances)
    assert count.result == {"cells": 30, "samples": 2, "rounded": 1, "unexplained": 0}
    exact = equality._Count(torch.float64)
    exact.add(spikes, expected, distances)
    assert exact.result["unexplained"] == 1, "in float64 nothing is explained away"


@pytest.mark.parametrize("neuron", ["leaky", "synaptic", "delayed_synaptic", "adaptive"])
def test_the_recorder_spikes_as_the_reference(neuron: str) -> None:
    workload = replace(SMALL, neurons=(neuron,))
    data = minibatch(workload)
    network = our_network(workload, neuron, "reference", calibrated_weights(workload, neuron, data))
    layer = hidden_layers(network)[0]
    spikes, distances = equality._run_recorded(layer, data.rasters)
    assert torch.equal(spikes, layer(data.rasters))
    assert distances.shape == spikes.shape


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        # U = 0.6, then 0.5 x 0.6 + 0.6 = 0.9, then 1.05.
        (Leaky(1, 1, beta=0.5), [0.4, 0.1, 0.05]),
        # The membrane that a step starts from, which an input reaches after two steps: 0, 0, 0.6.
        (DelayedSynaptic(1, 1, alpha=0.5, beta=0.5, recurrent=False), [1.0, 1.0, 0.4]),
    ],
)
def test_the_recorder_knows_the_membrane_that_decided(neuron: SpikingLayer, expected: list[float]) -> None:
    nn.init.constant_(neuron.weight, 0.6)
    _, distances = equality._run_recorded(neuron, torch.ones(1, 3, 1))
    torch.testing.assert_close(distances.flatten(), torch.tensor(expected))


def test_every_workload_and_plan_is_whole() -> None:
    for plan in PLANS.values():
        used = {name for chosen in plan.steps.values() for name in chosen} | {*plan.memory, *plan.equality.values()}
        assert used <= set(WORKLOADS)


def test_neurons_behind_convolutions_are_the_same_with_all_that_can_be_compared() -> None:
    """Those of snnTorch and of ours spike in the same cells and have the same gradients, with and without a kernel."""
    alone, network = maps.workloads(tiny=True)
    # In steps of 1/64, sums and products are exact: snnTorch takes gradients of spikes through float32.
    drawn = torch.randint(-256, 257, alone.shape, generator=torch.Generator().manual_seed(0))
    currents = drawn.double() / 64
    found = {}
    for name in (SNNTORCH, "reference/maps", "torch/maps"):
        given = currents.clone().requires_grad_()
        spikes = maps.neurons_of(name, alone.shape[0], "cpu")(given)
        (spikes * torch.arange(spikes.numel()).view_as(spikes)).sum().backward()
        found[name] = spikes.detach(), given.grad
    for spikes, gradient in found.values():
        assert torch.equal(spikes, found["reference/maps"][0])
        torch.testing.assert_close(gradient, found["reference/maps"][1])
    assert 0.05 < found[SNNTORCH][0].mean() < 0.95

    made = dict(maps.make_maps(network, maps.names(network)))
    assert made["reference/maps"].hidden_density() == pytest.approx(made["torch/maps"].hidden_density())
    assert made[maps.NO_NEURONS].hidden_density() == []


@pytest.mark.skipif(importlib.util.find_spec("spikingjelly") is None, reason="no SpikingJelly")
def test_spikingjelly_has_the_same_neurons_behind_convolutions() -> None:
    alone, _ = maps.workloads(tiny=True)
    currents = 2 * torch.randn(alone.shape, dtype=torch.float64)
    ours, theirs = (maps.neurons_of(name, alone.shape[0], "cpu")(currents) for name in ("reference/maps", SPIKINGJELLY))
    assert torch.equal(ours, theirs)
