"""Spikes, operations, energy and time steps as Avalanche's evaluator reports them while strategies learn."""

from __future__ import annotations

import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EvaluationPlugin, GEMPlugin, LwFPlugin
from avalanche.training.supervised import ER_ACE, Naive
from tiny_learners import C, K, Silence, T, learn, tiny_benchmark, tiny_network, tiny_strategy
from torch import nn
from worked_networks import SPIKES, n_hooks, small_network

from avalanche_snn.evaluation import (
    activation_sparsity_metrics,
    energy_metrics,
    record_activity,
    spike_metrics,
    synaptic_operation_metrics,
    time_step_metrics,
)
from avalanche_snn.evaluation.activity_metrics import AC_JOULES, MAC_JOULES
from avalanche_snn.models import RecurrentSNN
from avalanche_snn.training import CompressedLatentReplayPlugin

HELPERS = (
    spike_metrics,
    activation_sparsity_metrics,
    synaptic_operation_metrics,
    energy_metrics,
    time_step_metrics,
)
ALL_LEVELS = {"minibatch": True, "epoch": True, "experience": True, "stream": True}


def spiking_network(**options):
    return RecurrentSNN(C, (9, 7), K, neuron="leaky", threshold=0.05, seed=0, **options)


def evaluator_of(*metrics):
    return EvaluationPlugin(*metrics, accuracy_metrics(stream=True), loggers=[Silence()])


def everything(**levels):
    return [metric for helper in HELPERS for metric in helper(**(levels or ALL_LEVELS))]


def evaluated(model, metrics, stream, **options):
    strategy = tiny_strategy(model, evaluator=evaluator_of(metrics), **options)
    return {name: value for name, value in strategy.eval(stream).items() if not name.startswith("Top1")}


def rasters_of(experiences):
    return torch.stack([sample[0] for experience in experiences for sample in experience.dataset])


def test_what_an_evaluation_emits():
    benchmark = tiny_benchmark(largest=2)
    model = spiking_network(time_pooling={"hidden1": "any/4"})
    emitted = evaluated(model, everything(), benchmark.test_stream, eval_mb_size=5)
    for where, experiences in (
        *((f"Exp/eval_phase/test_stream/Task000/Exp{n:03d}", [benchmark.test_stream[n]]) for n in range(3)),
        ("Stream/eval_phase/test_stream/Task000", benchmark.test_stream),
    ):
        rasters = rasters_of(experiences)
        with record_activity(model) as activity, torch.no_grad():
            model(rasters)
        n = len(rasters)
        for layer, (n_neurons, n_steps) in {"hidden1": (9, T), "hidden2": (7, T // 4)}.items():
            spikes = emitted.pop(f"Spikes_{where}/{layer}")
            assert spikes == activity.spikes[layer] / n > 0
            sparsity = emitted.pop(f"ActivationSparsity_{where}/{layer}")
            assert sparsity == pytest.approx(1 - spikes / (n_neurons * n_steps))
        assert emitted.pop(f"Spikes_{where}") == pytest.approx(activity.spikes.total() / n)
        outputs = 9 * T + 7 * (T // 4)
        assert emitted.pop(f"ActivationSparsity_{where}") == pytest.approx(1 - activity.spikes.total() / n / outputs)
        assert emitted.pop(f"DenseSynOps_{where}") == T * (C * 9 + 81) + T // 4 * (9 * 7 + 49 + 7 * K)
        acs, macs = emitted.pop(f"EffectiveACs_{where}"), emitted.pop(f"EffectiveMACs_{where}")
        assert (acs, macs) == (activity.acs.total() / n, activity.macs.total() / n)
        assert emitted.pop(f"Energy_{where}") == pytest.approx(acs * 0.9e-12 + macs * 4.6e-12)
        for connection in ("hidden1", "hidden1.recurrent", "hidden2", "hidden2.recurrent", "readout"):
            acs, macs = (emitted.pop(f"Effective{kind}_{where}/{connection}") for kind in ("ACs", "MACs"))
            assert (acs > 0) == (connection not in ("hidden1",)), "counts go in, spikes go on"
            assert (macs > 0) == (connection == "hidden1")
            assert emitted.pop(f"Energy_{where}/{connection}") == pytest.approx(acs * AC_JOULES + macs * MAC_JOULES)
            del emitted[f"DenseSynOps_{where}/{connection}"]
        steps = {"": T, "/hidden1": T, "/hidden2": T // 4, "/readout": T // 4}
        assert {layer: emitted.pop(f"TimeSteps_{where}{layer}") for layer in steps} == steps
    assert emitted == {}, "training levels say nothing of an evaluation"


def test_values_do_not_depend_on_the_minibatches():
    benchmark, model = tiny_benchmark(largest=2), spiking_network()
    first, second = (
        evaluated(model, everything(experience=True, stream=True), benchmark.test_stream, eval_mb_size=size)
        for size in (1, 16)
    )
    assert first == second != {}


def test_without_layers():
    emitted = evaluated(spiking_network(), spike_metrics(stream=True, per_layer=False), tiny_benchmark().test_stream)
    assert list(emitted) == ["Spikes_Stream/eval_phase/test_stream/Task000"]


def test_what_training_emits():
    benchmark, model = tiny_benchmark(), spiking_network()
    evaluator = evaluator_of(spike_metrics(**ALL_LEVELS))
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    strategy = tiny_strategy(model, evaluator=evaluator, optimizer=still, eval_every=1)
    strategy.train(benchmark.train_stream[0])  # with an evaluation before, between and after the epochs
    rasters = rasters_of([benchmark.train_stream[0]])
    with record_activity(model) as activity, torch.no_grad():
        model(rasters)
    everywhere = activity.spikes.total() / len(rasters)
    values = {name: values for name, (_, values) in evaluator.get_all_metrics().items()}
    assert values["Spikes_Epoch/train_phase/train_stream/Task000"] == [pytest.approx(everywhere)] * 2
    minibatches = values["Spikes_MB/train_phase/train_stream/Task000"]
    assert len(minibatches) == 2 * 2  # of 8 and of 4 samples
    assert sum(minibatches[:2]) != pytest.approx(2 * everywhere)
    assert (8 * minibatches[0] + 4 * minibatches[1]) / 12 == pytest.approx(everywhere)
    assert values["Spikes_Exp/eval_phase/train_stream/Task000/Exp000"] == [pytest.approx(everywhere)] * 3


def test_training_on_latents_counts_the_back_and_evaluation_the_whole_network():
    benchmark = tiny_benchmark()
    evaluator = evaluator_of(time_step_metrics(epoch=True, stream=True), spike_metrics(epoch=True, stream=True))
    strategy = tiny_strategy(
        spiking_network(time_pooling={"hidden1": "any/2"}),
        [CompressedLatentReplayPlugin("hidden1", "unlimited")],
        evaluator=evaluator,
    )
    learn(strategy, benchmark)
    strategy.eval(benchmark.test_stream)
    values = {name: values for name, (_, values) in evaluator.get_all_metrics().items()}
    # Two epochs on rasters, then four on latents of half as many steps, replays among them.
    trained = "Epoch/train_phase/train_stream/Task000"
    assert values[f"TimeSteps_{trained}"] == [T] * 2 + [T // 2] * 4
    assert values[f"TimeSteps_{trained}/hidden1"] == [T] * 2
    assert values[f"TimeSteps_{trained}/hidden2"] == [T // 2] * 6
    assert len(values[f"Spikes_{trained}/hidden1"]) == 2
    assert values[f"Spikes_{trained}"][2:] == values[f"Spikes_{trained}/hidden2"][2:]
    assert values["TimeSteps_Stream/eval_phase/test_stream/Task000/hidden1"] == [T]
    assert values["Spikes_Stream/eval_phase/test_stream/Task000/hidden1"][0] > 0


def test_passes_of_plugins_are_not_counted():
    seen = []
    model = spiking_network()
    model.hidden1.register_forward_pre_hook(lambda layer, inputs: seen.append(len(inputs[0])))
    metrics = synaptic_operation_metrics(epoch=True, per_layer=False)
    strategy = tiny_strategy(model, [GEMPlugin(5, 0.5)], evaluator=evaluator_of(metrics), train_epochs=1)
    learn(strategy, tiny_benchmark())
    # Dense operations of a sample are a constant, however often plugins put memories through the network.
    values = strategy.evaluator.get_all_metrics()["DenseSynOps_Epoch/train_phase/train_stream/Task000"][1]
    assert values == [T * (C * 9 + 81 + 9 * 7 + 49 + 7 * K)] * 3
    assert sum(seen) > 36


@pytest.mark.parametrize(
    ("plugins", "template", "options"),
    [
        (lambda: [LwFPlugin(1.0, 2.0), CompressedLatentReplayPlugin("hidden1", 500)], Naive, {}),
        (lambda: [GEMPlugin(5, 0.5)], Naive, {}),
        (list, ER_ACE, {"mem_size": 12, "batch_size_mem": 4}),
    ],
    ids=["lwf, latent replay", "gem", "er_ace"],
)
def test_learning_is_the_same_with_metrics_and_leaves_no_hook(plugins, template, options):
    states, generators, hooks = [], [], []
    for metrics in ([], everything()):
        given = plugins()
        strategy = tiny_strategy(
            tiny_network(), given, template, evaluator=evaluator_of(metrics), eval_every=1, **options
        )
        learn(strategy, tiny_benchmark())
        strategy.eval(tiny_benchmark().test_stream)
        states.append(strategy.model.state_dict())
        generators.append(torch.get_rng_state())
        networks = [strategy.model, *(p.lwf.prev_model for p in given if isinstance(p, LwFPlugin))]
        hooks += [n_hooks(network) for network in networks]
        assert None not in networks
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert torch.equal(*generators)
    assert set(hooks) == {0}


class HookCounter(SupervisedPlugin):
    """Counts hooks at the end of a forward pass, where an evaluator's turn comes later, and right after it."""

    def __init__(self):
        super().__init__()
        self.during, self.left = set(), set()

    def after_forward(self, strategy, **kwargs):
        self.during.add(n_hooks(strategy.model))

    def before_backward(self, strategy, **kwargs):
        self.left.add(n_hooks(strategy.model))

    def after_eval_forward(self, strategy, **kwargs):
        self.during.add(n_hooks(strategy.model))

    def after_eval_iteration(self, strategy, **kwargs):
        self.left.add(n_hooks(strategy.model))


def test_hooks_are_on_the_network_only_where_a_metric_asks_for_them():
    benchmark = tiny_benchmark()
    one_set = 2 + 3  # on the network itself, and on each of its layers
    for levels, in_training, in_evaluation in (
        (["minibatch", "epoch"], one_set, 0),
        (["experience", "stream"], 0, one_set),
    ):
        counter = HookCounter()
        metrics = everything(**dict.fromkeys(levels, True))
        strategy = tiny_strategy(spiking_network(), [counter], evaluator=evaluator_of(metrics))
        strategy.train(benchmark.train_stream[0])
        assert (counter.during, counter.left) == ({in_training}, {0})
        counter.during.clear()
        strategy.eval(benchmark.test_stream)
        assert (counter.during, counter.left) == ({in_evaluation}, {0})


@pytest.mark.parametrize("kernel", ["cpp", "torch", "reference"])
def test_every_kernel_reads_bytes_and_counts_the_same(kernel):
    benchmark = tiny_benchmark(largest=2)
    metrics = everything(experience=True)
    expected = evaluated(spiking_network(kernel="reference"), metrics, benchmark.test_stream)
    benchmark = tiny_benchmark(largest=2)
    benchmark.test_data.rasters = benchmark.test_data.rasters.to(torch.uint8)
    emitted = evaluated(spiking_network(kernel=kernel), everything(experience=True), benchmark.test_stream)
    assert emitted == expected


def test_a_pass_that_breaks_off_is_not_counted_later():
    benchmark, model = tiny_benchmark(), spiking_network()
    metrics = spike_metrics(stream=True) + time_step_metrics(stream=True)
    expected = evaluated(model, metrics, benchmark.test_stream)
    readout = model.readout.weight
    model.readout.weight = None
    with pytest.raises(AttributeError):
        evaluated(model, metrics, benchmark.test_stream)
    model.readout.weight = readout
    assert n_hooks(model) > 0, "this test has nothing to show otherwise"
    # By the same metrics, and by those of another evaluator.
    assert evaluated(model, metrics, benchmark.test_stream) == expected
    assert (
        evaluated(model, spike_metrics(stream=True) + time_step_metrics(stream=True), benchmark.test_stream) == expected
    )
    assert n_hooks(model) == 0


def test_a_back_without_spikes_has_no_sparsity():
    network = small_network()
    (sparsity,), (spikes,) = activation_sparsity_metrics(stream=True), spike_metrics(stream=True)
    network.cut("hidden", torch.tensor([SPIKES]))
    with record_activity(network) as activity:
        network(network.encode(torch.tensor([SPIKES])))
    for metric in (sparsity, spikes):
        assert metric.result() == {}
        metric._metric.add(activity)
    assert sparsity.result() == {}
    assert spikes.result() == {"": 0.0}
    spikes.reset()
    assert spikes.result() == {}


def test_energy_of_worked_out_operations():
    network = small_network()
    with record_activity(network) as activity:
        network(torch.tensor([SPIKES]))
        network(torch.tensor([SPIKES]) * 3)
    # 4 + 2 + 10 operations a sample, the 4 on counts in the second.
    for constants, ac, mac in (({}, 0.9e-12, 4.6e-12), ({"ac_joules": 1.0, "mac_joules": 10.0}, 1.0, 10.0)):
        (metric,) = energy_metrics(stream=True, **constants)
        metric._metric.add(activity)
        values = metric.result()
        assert values[""] == pytest.approx((4 + 2 * 12) / 2 * ac + 4 / 2 * mac)
        assert values["hidden"] == pytest.approx(2 * ac + 2 * mac)
        assert values["hidden.recurrent"] == pytest.approx(2 * ac)
        assert values["readout"] == pytest.approx(10 * ac)
    for constants in ({"ac_joules": -1.0}, {"mac_joules": float("nan")}):
        with pytest.raises(ValueError, match="wanted energies of 0 joules or more, came"):
            energy_metrics(stream=True, **constants)


def test_helpers_return_what_was_asked_for():
    for helper in HELPERS:
        assert helper() == []
        names = [str(metric) for metric in helper(**ALL_LEVELS)]
        assert [name.rsplit("_", 1)[1] for name in names] == ["MB", "Epoch", "Exp", "Stream"] * (len(names) // 4)
    assert [str(metric) for metric in synaptic_operation_metrics(stream=True)] == [
        "EffectiveACs_Stream",
        "EffectiveMACs_Stream",
        "DenseSynOps_Stream",
    ]


def test_networks_that_cannot_be_counted():
    stream = tiny_benchmark().test_stream
    plain = nn.Sequential(nn.Flatten(), nn.Linear(T * C, K))
    with pytest.raises(ValueError, match="wanted a network with spiking layers"):
        evaluated(plain, spike_metrics(stream=True), stream)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = spiking_network()
            self.attention = nn.MultiheadAttention(C, 2)

        def forward(self, x):
            return self.network(self.attention(x, x, x)[0])

    assert len(evaluated(Attention(), spike_metrics(stream=True), stream)) == 3
    for helper in (synaptic_operation_metrics, energy_metrics):
        with pytest.raises(ValueError, match=r"there are some in 'attention' \(MultiheadAttention\)"):
            evaluated(Attention(), helper(stream=True), stream)
