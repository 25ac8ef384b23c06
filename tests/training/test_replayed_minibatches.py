"""What a minibatch is made of when there are replays, and what they leave alone."""

from __future__ import annotations

import copy
import pickle
import random
from collections import Counter

import numpy as np
import pytest
import torch
from avalanche.benchmarks import benchmark_from_datasets, class_incremental_benchmark, nc_benchmark
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import (
    AGEMPlugin,
    EWCPlugin,
    FromScratchTrainingPlugin,
    GDumbPlugin,
    LwFPlugin,
    ReplayPlugin,
    RWalkPlugin,
)
from avalanche.training.supervised import DER, ER_ACE, MER, Cumulative, Naive
from tiny_learners import (
    N_EACH,
    K,
    Rasters,
    learn,
    seed_everything,
    tiny_benchmark,
    tiny_network,
    tiny_sequential,
    tiny_strategy,
)
from torch import nn

from avalanche_snn.spikes import make_codec
from avalanche_snn.training import CompressedLatentReplayPlugin


class Recorder(SupervisedPlugin):
    """Keeps every minibatch as it is when the network gets it."""

    def __init__(self):
        super().__init__()
        self.minibatches = []

    def before_forward(self, strategy, **kwargs):
        self.minibatches.append((strategy.clock.train_exp_counter, [part.clone() for part in strategy.mbatch]))

    def of(self, experience):
        return [minibatch for number, minibatch in self.minibatches if number == experience]

    def labels_of(self, experience):
        return [labels.tolist() for _, labels, *_ in self.of(experience)]


def learn_with(replay, others=(), template=Naive, *, benchmark=None, network=None, **options):
    recorder = Recorder()
    strategy = tiny_strategy(network or tiny_network(), [replay, *others, recorder], template, **options)
    learn(strategy, benchmark or tiny_benchmark())
    return strategy, recorder


def test_balanced_minibatches_hold_every_class_seen_alike():
    _, recorder = learn_with(CompressedLatentReplayPlugin("hidden1", "unlimited"), train_epochs=10)
    # Two classes are old and two are new, so half of the 8 samples are new; later a third of them are.
    assert [len(labels) for labels in recorder.labels_of(1)[:3]] == [4 + 4] * 3
    assert [len(labels) for labels in recorder.labels_of(2)[:4]] == [3 + 6] * 4
    for experience in (1, 2):
        counts = Counter(label for labels in recorder.labels_of(experience) for label in labels)
        assert counts.keys() == set(range(2 * experience + 2))
        # 6 samples of each new class in each of 10 epochs, and as many replays of each old one but for chance.
        for label, count in counts.items():
            assert abs(count - 60) <= (0 if label >= 2 * experience else 6)
        for labels in recorder.labels_of(experience):
            assert all(label >= 2 * experience for label in labels[: 4 if experience == 1 else 3])
            old = Counter(label for label in labels if label < 2 * experience)
            assert max(old.values()) - min(old[label] for label in range(2 * experience)) <= 1


@pytest.mark.parametrize(("share", "made_of"), [(0.25, (6, 2)), (0.5, (4, 4)), (0.9, (1, 9))])
def test_a_stated_share_of_a_minibatch_is_replayed(share, made_of):
    _, recorder = learn_with(CompressedLatentReplayPlugin("hidden1", "unlimited", replay_share=share))
    n_new, n_old = made_of
    for experience in (1, 2):
        first, *_ = recorder.labels_of(experience)
        assert [label >= 2 * experience for label in first] == [True] * n_new + [False] * n_old


def test_a_share_below_one_sample_is_made_up_for_later():
    replay = CompressedLatentReplayPlugin("hidden1", "unlimited", replay_share=0.05)
    _, recorder = learn_with(replay, train_epochs=19)
    labels = [label for minibatch in recorder.labels_of(1) for label in minibatch]
    n_new = sum(label >= 2 for label in labels)
    assert n_new == 19 * 12
    assert sum(label < 2 for label in labels) == 12


@pytest.mark.parametrize("codec", ["bits", "rice", "any/3", "any/3/middle", "count/3"])
@pytest.mark.parametrize("time_pooling", [None, {"hidden1": "any/2"}, {"hidden1": "count/2"}])
def test_replays_are_latents_of_training_samples_under_the_code(codec, time_pooling):
    benchmark, network = tiny_benchmark(), tiny_network(time_pooling=time_pooling)
    replay = CompressedLatentReplayPlugin("hidden1", "unlimited", codec)
    _, recorder = learn_with(replay, benchmark=benchmark, network=network)
    codec = make_codec(codec, *network.latent_shape, 2 if time_pooling == {"hidden1": "count/2"} else 1)
    data = benchmark.train_data
    latents = network.front(data.rasters)
    assert len({latent.numpy().tobytes() for latent in latents}) > 0.9 * len(data)
    restored = codec.decode(codec.encode(latents))
    n_replays = 0
    for experience in (1, 2):
        for packed, labels, _ in recorder.of(experience):
            for values, label in zip(network.decode(packed), labels.tolist(), strict=True):
                expected = latents if label >= 2 * experience else restored
                n_replays += label < 2 * experience
                assert any(torch.equal(values, expected[label * N_EACH + i]) for i in range(N_EACH))
    assert n_replays == 24 + 48


@pytest.mark.parametrize("selection", ["random", "herding"])
@pytest.mark.parametrize("memory", [700, "unlimited"])
def test_the_memory_holds_training_samples_with_their_labels_and_no_others(selection, memory):
    benchmark = tiny_benchmark(largest=3)
    replay = CompressedLatentReplayPlugin("input", memory, selection=selection)
    learn_with(replay, benchmark=benchmark)
    train, test = benchmark.train_data, benchmark.test_data
    latents, labels = replay.memory.all_latents()
    known = {raster.numpy().tobytes(): label for raster, label in zip(train.rasters, train.targets, strict=True)}
    unknown = {raster.numpy().tobytes() for raster in test.rasters}
    stored = [latent.numpy().tobytes() for latent in latents]
    assert len(set(stored)) == len(stored) == (len(train) if memory == "unlimited" else (700 - K * 24) // 24)
    assert [known[key] for key in stored] == labels.tolist()
    assert not unknown & set(stored)
    assert set(Counter(labels.tolist()).values()) <= ({N_EACH} if memory == "unlimited" else {3, 4})


@pytest.mark.parametrize("after", ["hidden1", "input"])
def test_task_labels_go_with_their_samples(after):
    replay = CompressedLatentReplayPlugin(after, "unlimited")
    benchmark = tiny_benchmark(task_labels=True)
    _, recorder = learn_with(replay, [ReplayPlugin(6)], benchmark=benchmark)
    assert replay.memory.keys == [(label, label // 2) for label in range(K)]
    n_old = 0
    for experience in (1, 2):
        for _, labels, tasks in recorder.of(experience):
            assert torch.equal(tasks, labels // 2)
            n_old += int((labels < 2 * experience).sum())
    assert n_old > 24 + 48


def test_samples_without_task_labels_do():
    train, test = Rasters(1), Rasters(2)
    datasets = [as_classification_dataset(data) for data in (train, test)]
    by_class = class_incremental_benchmark(
        {"train": datasets[0], "test": datasets[1]}, num_experiences=3, class_order=list(range(K))
    )
    parts = [datasets[0].subset(range(start, start + 12)) for start in (0, 12, 24)]
    for benchmark in (by_class, benchmark_from_datasets(train=parts)):
        replay = CompressedLatentReplayPlugin("hidden1", "unlimited")
        _, recorder = learn_with(replay, benchmark=benchmark)
        assert replay.memory.counts == {(label, 0): N_EACH for label in range(K)}
        assert all(len(minibatch) == 2 for minibatch in recorder.of(2))
        assert {label for labels in recorder.labels_of(2) for label in labels} == set(range(K))


OTHERS = {
    "ewc": lambda: [EWCPlugin(10.0)],
    "lwf": lambda: [LwFPlugin(1.0, 2.0)],
    "replay": lambda: [ReplayPlugin(8)],
    "rwalk": lambda: [RWalkPlugin(1.0, delta_t=2)],
    "agem": lambda: [AGEMPlugin(6, 6)],
    "ewc, lwf, replay": lambda: [EWCPlugin(10.0), LwFPlugin(1.0, 2.0), ReplayPlugin(8)],
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("after", ["hidden1", pytest.param("input", marks=pytest.mark.slow)])
def test_the_place_among_the_plugins_does_not_matter(name, after):
    states = []
    for first in (True, False):
        ours, others = [CompressedLatentReplayPlugin(after, "unlimited")], OTHERS[name]()
        model = learn(tiny_strategy(tiny_network(), [*ours, *others] if first else [*others, *ours]), tiny_benchmark())
        states.append(model.state_dict())
    alone = learn(tiny_strategy(tiny_network(), [CompressedLatentReplayPlugin(after, "unlimited")]), tiny_benchmark())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], tensor) for key, tensor in alone.state_dict().items())


@pytest.mark.parametrize(
    ("template", "options"),
    [
        (DER, {"mem_size": 12, "batch_size_mem": 4}),
        (MER, {"mem_size": 12, "batch_size_mem": 3, "n_inner_steps": 2}),
        (Cumulative, {}),
    ],
)
def test_other_templates_take_replays(template, options):
    replay = CompressedLatentReplayPlugin("hidden1", "unlimited", "count/3", replay_share=0.5)
    strategy, _ = learn_with(replay, [GDumbPlugin(12)] if template is Cumulative else [], template, **options)
    assert replay.memory.counts == {(label, 0): N_EACH for label in range(K)}
    assert all(parameter.isfinite().all() for parameter in strategy.model.parameters())


def test_er_ace_gets_replays_among_the_old_samples():
    seen = []

    class Watch(SupervisedPlugin):
        def after_forward(self, strategy, **kwargs):
            buffered = strategy.mb_buffer_y.tolist() if strategy.replay_loader is not None else []
            seen.append((strategy.clock.train_exp_counter, strategy.mb_y.tolist(), buffered))

    replay = CompressedLatentReplayPlugin("hidden1", "unlimited", replay_share=0.5)
    strategy = tiny_strategy(tiny_network(), [replay, Watch()], ER_ACE, mem_size=12, batch_size_mem=4)
    seed_everything()
    strategy.train(tiny_benchmark().train_stream)
    for experience in (1, 2):
        minibatches = [(new, old) for number, new, old in seen if number == experience]
        assert len(minibatches) == 6
        for new, buffered in minibatches:
            assert all(label >= 2 * experience for label in new)
            # 4 samples of ER_ACE's own buffer, and as many replays as there are new samples.
            assert len(buffered) == 4 + len(new)
            assert all(label < 2 * experience for label in buffered[4:])


def test_one_call_for_the_stream_equals_one_call_an_experience():
    states, memories = [], []
    for at_once in (True, False):
        replay = CompressedLatentReplayPlugin("hidden1", 600)
        strategy = tiny_strategy(tiny_network(), [replay])
        stream = tiny_benchmark().train_stream
        seed_everything()
        for experiences in [stream] if at_once else list(stream):
            strategy.train(experiences, eval_streams=[])
        states.append(strategy.model.state_dict())
        memories.append(replay.memory.all_latents()[0])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert torch.equal(*memories)


def test_same_seed_same_weights_other_seed_other_replays():
    final = [
        learn(
            tiny_strategy(tiny_network(), [CompressedLatentReplayPlugin("hidden1", 600, seed=seed)]), tiny_benchmark()
        )
        for seed in (0, 0, 1)
    ]
    weights = [network.readout.weight for network in final]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("selection", ["random", "herding"])
@pytest.mark.parametrize("after", ["spikes", "input"])
def test_global_random_generators_are_left_alone(selection, after):
    """After a run they stand where the same minibatches without any plugin of ours have left them."""

    def states_after(plugins, sizes):
        strategy = tiny_strategy(tiny_sequential(), plugins)
        seed_everything()
        for experience, size in zip(tiny_benchmark().train_stream, sizes, strict=True):
            strategy.train_mb_size = size
            strategy.train(experience, eval_streams=[])
        return torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    ours = states_after([CompressedLatentReplayPlugin(after, "unlimited", selection=selection)], (8, 8, 8))
    plain = states_after([], (8, 4, 3))
    assert torch.equal(ours[0], plain[0])
    assert ours[1:] == plain[1:]


def test_the_benchmark_stays_as_it_was():
    benchmark = tiny_benchmark()
    datasets = [experience.dataset for experience in benchmark.train_stream]
    strategy, _ = learn_with(CompressedLatentReplayPlugin("hidden1", "unlimited"), benchmark=benchmark)
    assert [experience.dataset for experience in benchmark.train_stream] == datasets
    _, recorder = learn_with(SupervisedPlugin(), benchmark=benchmark)
    assert {tuple(samples.shape[1:]) for _, (samples, *_) in recorder.minibatches} == {(8, 12)}
    assert strategy.train_mb_size == 8
    assert not any(name.startswith("_before_training") or name.startswith("_after") for name in vars(strategy))


def test_raw_replay_trains_the_whole_network():
    benchmark = tiny_benchmark()
    replay = CompressedLatentReplayPlugin("input", "unlimited")
    recorder = Recorder()
    strategy = tiny_strategy(tiny_network(), [replay, recorder])
    strategy.train(benchmark.train_stream[0], eval_streams=[])
    before = {name: parameter.clone() for name, parameter in strategy.model.named_parameters()}
    strategy.train(benchmark.train_stream[1], eval_streams=[])
    assert not strategy.model.is_cut
    assert not any(torch.equal(before[name], parameter) for name, parameter in strategy.model.named_parameters())
    known = {raster.numpy().tobytes() for raster in benchmark.train_data.rasters}
    assert {raster.numpy().tobytes() for samples, *_ in recorder.of(1) for raster in samples} <= known
    assert {label for labels in recorder.labels_of(1) for label in labels} == {0, 1, 2, 3}


class Interrupt(SupervisedPlugin):
    """Stops training once, in the middle of an experience."""

    def __init__(self, experience):
        super().__init__()
        self.experience = experience

    def after_training_iteration(self, strategy, **kwargs):
        if strategy.clock.train_exp_counter == self.experience and strategy.clock.train_exp_iterations == 1:
            self.experience = None
            raise KeyboardInterrupt


@pytest.mark.parametrize("interrupted", [0, 1])
@pytest.mark.parametrize(
    ("template", "others", "options"),
    [
        (Naive, lambda: [ReplayPlugin(8)], {}),
        (Naive, lambda: [FromScratchTrainingPlugin()], {}),
        (Naive, lambda: [GDumbPlugin(12)], {}),
        (Cumulative, list, {}),
        (ER_ACE, list, {"mem_size": 12, "batch_size_mem": 4}),
        (DER, list, {"mem_size": 12, "batch_size_mem": 4}),
    ],
)
def test_training_goes_on_after_an_interruption(template, others, options, interrupted):
    benchmark = tiny_benchmark()
    replay = CompressedLatentReplayPlugin("hidden1", 600)
    strategy = tiny_strategy(tiny_network(), [replay, Interrupt(interrupted), *others()], template, **options)
    seed_everything()
    datasets = [experience.dataset for experience in benchmark.train_stream]
    frozen = None
    for number, experience in enumerate(benchmark.train_stream):
        if number == interrupted:
            with pytest.raises(KeyboardInterrupt):
                strategy.train(experience, eval_streams=[])
            assert strategy.train_mb_size == 8
            assert experience.dataset is datasets[number]
            assert replay.memory.nbytes <= 600
        strategy.train(experience, eval_streams=[])
        front = {name: tensor.clone() for name, tensor in strategy.model.front_state().items()}
        frozen = frozen or front
        assert all(torch.equal(frozen[name], front[name]) for name in frozen)
    assert replay.memory.n_seen == {(label, 0): N_EACH for label in range(K)}


@pytest.mark.parametrize("plugin", [GDumbPlugin(12), FromScratchTrainingPlugin()])
def test_the_front_stays_where_a_strategy_resets_the_network_and_no_epoch_follows(plugin):
    strategy = tiny_strategy(tiny_network(), [plugin, CompressedLatentReplayPlugin("hidden1", 600)])
    stream = tiny_benchmark().train_stream
    strategy.train(stream[0], eval_streams=[])
    assert strategy.model.front_is_frozen
    frozen = {name: tensor.clone() for name, tensor in strategy.model.front_state().items()}
    strategy.train_epochs = 0
    strategy.train(stream[1], eval_streams=[])
    assert strategy.model.front_is_frozen
    assert all(torch.equal(frozen[name], tensor) for name, tensor in strategy.model.front_state().items())


def test_a_plain_sequential_becomes_cuttable():
    states = []
    for kind in (nn.Sequential, None):
        network = tiny_sequential(kind) if kind else tiny_sequential()
        names = [name for name, _ in network.named_parameters()]
        strategy = tiny_strategy(network, [EWCPlugin(10.0), CompressedLatentReplayPlugin("spikes", 600)])
        model = learn(strategy, tiny_benchmark())
        assert [name for name, _ in model.named_parameters()] == names
        # The layers are the user's own.
        assert model.readout is network.readout
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("codec", ["bits", "rice", "any/3"])
def test_plugin_and_strategy_can_be_copied_and_pickled_between_experiences(codec):
    benchmark = tiny_benchmark()
    plugins = [CompressedLatentReplayPlugin("hidden1", 700, codec), ReplayPlugin(6), LwFPlugin(1.0, 2.0)]
    strategy = tiny_strategy(tiny_network(), plugins)
    seed_everything()
    strategy.train(benchmark.train_stream[0], eval_streams=[])
    others = [copy.deepcopy(strategy), pickle.loads(pickle.dumps(strategy))]
    final = []
    for one in (strategy, *others):
        seed_everything(1)
        one.train(benchmark.train_stream[1], eval_streams=[])
        final.append((one.model.state_dict(), one.plugins[0]))
    (state, plugin), *copies = final
    for other_state, other in copies:
        assert all(torch.equal(state[name], other_state[name]) for name in state)
        assert torch.equal(plugin.memory.all_latents()[0], other.memory.all_latents()[0])
        assert other.memory is not plugin.memory
        assert other.working_bytes == plugin.working_bytes > 0


def test_a_copy_made_while_training_trains_itself_and_not_the_original():
    copies = []

    class CopyOnce(SupervisedPlugin):
        def before_training_epoch(self, strategy, **kwargs):
            if strategy.clock.train_exp_counter == 1 and not copies:
                copies.append(None)
                copies[0] = copy.deepcopy(strategy)

    benchmark = tiny_benchmark()
    strategy = tiny_strategy(tiny_network(), [CompressedLatentReplayPlugin("hidden1", 700), CopyOnce()])
    seed_everything()
    for experience in benchmark.train_stream[:2]:
        strategy.train(experience, eval_streams=[])
    (other,) = copies
    before = {name: tensor.clone() for name, tensor in strategy.model.state_dict().items()}
    other.train(benchmark.train_stream[2], eval_streams=[])
    # The copy was made before experience 1 had ended.
    assert {label for label, _ in other.plugins[0].memory.keys} == {0, 1, 4, 5}
    assert {label for label, _ in strategy.plugins[0].memory.keys} == {0, 1, 2, 3}
    assert all(torch.equal(before[name], tensor) for name, tensor in strategy.model.state_dict().items())


def test_replays_work_on_unequal_classes_and_many_new_samples():
    """An old class comes again beside a new one."""
    train = Rasters(1)
    data = as_classification_dataset(train)
    parts = [data.subset(list(range(12))), data.subset([*range(6, 12), *range(12, 18), *range(12, 18)])]
    replay = CompressedLatentReplayPlugin("hidden1", "unlimited")
    _, recorder = learn_with(replay, benchmark=benchmark_from_datasets(train=parts), train_epochs=30)
    counts = Counter(label for labels in recorder.labels_of(1) for label in labels)
    # Class 0 is old: a third of everything. Class 1 has seen 6 samples and gets 6: half of its third is replayed.
    # The new half, one half of everything, is class 1 and class 2 as 6 to 12.
    total = sum(counts.values())
    assert total == 30 * 36
    assert counts[2] == 30 * 12
    assert counts[1] == pytest.approx(30 * (6 + 6), abs=20)
    assert counts[0] == pytest.approx(30 * 12, abs=20)


def test_the_users_own_nc_benchmark_with_transforms_is_encoded_as_evaluation_sees_it():
    train, test = Rasters(1), Rasters(2)
    benchmark = nc_benchmark(
        train,
        test,
        3,
        task_labels=False,
        shuffle=False,
        fixed_class_order=list(range(K)),
        train_transform=lambda raster: raster.flip(0),
        eval_transform=lambda raster: raster.roll(1, 0),
    )
    replay = CompressedLatentReplayPlugin("hidden1", "unlimited")
    strategy, recorder = learn_with(replay, benchmark=benchmark)
    flipped = {raster.flip(0).numpy().tobytes() for raster in train.rasters}
    assert {raster.numpy().tobytes() for samples, *_ in recorder.of(0) for raster in samples} <= flipped
    expected = {latent.numpy().tobytes() for latent in strategy.model.front(train.rasters.roll(1, 1))}
    stored = {latent.numpy().tobytes() for latent in replay.memory.all_latents()[0]}
    assert stored == expected
    new = {latent.numpy().tobytes() for packed, *_ in recorder.of(1) for latent in strategy.model.decode(packed)}
    assert new <= expected
