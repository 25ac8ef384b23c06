"""Strategies that keep exemplars: Avalanche's methods, within a budget in bytes."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import AGEMPlugin, GEMPlugin, ReplayPlugin
from avalanche.training.regularization import ACECriterion
from avalanche.training.storage_policy import ClassBalancedBuffer
from avalanche.training.supervised import DER, ER_ACE
from exemplar_strategies import (
    PACKED,
    SAMPLE,
    composed,
    even_benchmark,
    spiking_network,
    varied_benchmark,
    with_densities,
)
from tiny_learners import C, K, T, learn, seed_everything, tiny_benchmark, tiny_strategy
from torch import nn
from torch.nn import functional

from avalanche_snn.checkpointing import buffer_state, load_buffer_state
from avalanche_snn.evaluation import memory_bytes
from avalanche_snn.evaluation.memory import bytes_of_samples
from avalanche_snn.training import BudgetTooSmallError, SeenClassesCrossEntropy
from benchmarks.catalogue import options_of, strategy_names
from strategies._exemplars import ClassBalancedInBytes, Costs, ReservoirInBytes, lengths_within
from strategies._packed_rasters import PackedRasters
from strategies.bic import _BiasCorrection
from strategies.cope import _PrototypeEvolution
from strategies.er_ace import _AsymmetricLoss
from strategies.icarl import _Budget, _plugin_of
from strategies.mir import _EachSample, _MaximallyInterfered

# A buffer of Avalanche's, one of its plugin's own, one that is filled at the end, and a network's.
OF_EACH_KIND = ("replay_balanced", "icarl", "gdumb", "alade")
WITH_EXEMPLARS = [name for name in strategy_names() if "memory" in options_of(name) and "codec" not in options_of(name)]


def weights_of(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def plugin_of(strategy, kind):
    return next(plugin for plugin in strategy.plugins if isinstance(plugin, kind))


@pytest.mark.parametrize("name", WITH_EXEMPLARS)
def test_the_least_budget_works_and_less_is_an_error_before_anything_is_trained(name):
    strategy = composed(name, memory="1 B")
    before = weights_of(strategy.model)
    with pytest.raises(BudgetTooSmallError, match="memory='1 B' is too small for") as caught:
        learn(strategy, even_benchmark())
    assert torch.equal(weights_of(strategy.model), before)
    least = caught.value.least_bytes
    with pytest.raises(BudgetTooSmallError):
        learn(composed(name, memory=least - 1), even_benchmark())
    learn(composed(name, memory=least), even_benchmark())


@pytest.mark.parametrize(
    "name",
    [name if name in OF_EACH_KIND else pytest.param(name, marks=pytest.mark.slow) for name in WITH_EXEMPLARS],
)
def test_the_least_budget_grows_with_the_samples(name):
    """The last experience alone has samples that take more than a bit a cell."""
    benchmark = even_benchmark()
    benchmark.train_data.rasters[24:] *= 3
    with pytest.raises(BudgetTooSmallError) as caught:
        learn(composed(name, memory="1 B"), benchmark)
    strategy = composed(name, memory=caught.value.least_bytes)
    with pytest.raises(BudgetTooSmallError) as caught_later:
        learn(strategy, benchmark)
    assert strategy.clock.train_exp_counter == 2
    assert caught_later.value.least_bytes > caught.value.least_bytes
    learn(composed(name, memory=caught_later.value.least_bytes), benchmark)


@pytest.mark.parametrize("name", WITH_EXEMPLARS)
def test_exemplars_of_any_size_fill_the_budget_and_never_pass_it(name):
    benchmark = varied_benchmark()
    sizes = bytes_of_samples(benchmark.train_stream[0].dataset)
    assert sizes.max() >= 2 * sizes.min()
    budget = {"gem": 900, "icarl": 250, "der": 900, "der_plus_plus": 900}.get(name, 360)
    strategy = composed(name, memory=budget, train_epochs=1)
    seed_everything()
    for number, experience in enumerate(benchmark.train_stream, start=1):
        strategy.train(experience, eval_streams=[])
        # Those two give each experience its share.
        room = budget * number // 3 if name in ("gem", "agem") else budget
        assert 0.85 * room < bytes_of_exemplars(strategy) <= room


def bytes_of_exemplars(strategy):
    """What a strategy keeps less what it keeps besides exemplars: networks, means, prototypes."""
    holders = {
        *("storage_policy", "val_buffer", "buffers", "buffer_dataloader", "buffer_dliter", "packed", "memory_y"),
        *("memory_tid", "replay_loader", "order", "_buffer", "ace_criterion", "groups"),
    }
    total = memory_bytes(strategy)
    with pytest.MonkeyPatch.context() as patch:
        for holder in (strategy, *strategy.plugins):
            for name in holders & vars(holder).keys():
                patch.setattr(holder, name, None)
        return total - memory_bytes(strategy)


@pytest.mark.parametrize("name", ["replay_balanced", "replay_reservoir", "replay_herding", "er_ace", "mir"])
def test_a_budget_is_filled_to_the_last_sample(name):
    strategy = composed(name, memory=20 * SAMPLE + 5)
    learn(strategy, even_benchmark())
    assert memory_bytes(strategy) == 20 * SAMPLE
    unlimited = composed(name, memory="unlimited")
    learn(unlimited, even_benchmark())
    assert memory_bytes(unlimited) == 36 * SAMPLE


def test_samples_that_cost_more_are_fewer():
    """Counts of 3 take two bits a cell; experience 2 brings the first of them, and a third of the exemplars."""
    benchmark = even_benchmark()
    benchmark.train_data.rasters[24:] *= 3
    strategy = composed("replay_balanced", memory=20 * SAMPLE)
    seed_everything()
    kept = []
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[])
        buffer = plugin_of(strategy, ReplayPlugin).storage_policy
        kept.append([len(group.buffer) for group in buffer.buffer_groups.values()])
        assert memory_bytes(strategy) <= 20 * SAMPLE
    # 320 bytes: eight of 16 and four of 28 are 240, a third one of each of the first four makes 304.
    assert kept == [[6, 6], [5, 5, 5, 5], [3, 3, 3, 3, 2, 2]]


def test_what_a_class_does_not_have_others_may():
    benchmark = even_benchmark()
    dataset = benchmark.train_stream[0].dataset
    targets = [int(label) for label in dataset.targets]
    few = [position for position, label in enumerate(targets) if label == 1 or position == targets.index(0)]
    buffer = ClassBalancedInBytes(7 * SAMPLE)
    buffer.post_adapt(None, SimpleNamespace(dataset=dataset.subset(few)))
    assert {label: len(group.buffer) for label, group in buffer.buffer_groups.items()} == {0: 1, 1: 6}


@pytest.mark.parametrize("kind", [ClassBalancedInBytes, ReservoirInBytes])
def test_the_highest_of_all_lots_ever_drawn_stay(kind):
    """Later samples are so small that they would fit where none of the first does: that is no reason to take them."""
    benchmark = tiny_benchmark(n_each=60)
    with_densities(benchmark, lambda n: torch.cat([torch.full((60,), 0.6), torch.full((n - 60,), 0.03)]))
    benchmark.train_data.targets = [0] * 360
    data = _make_taskaware_classification_dataset(benchmark.train_data)
    room = 40 * SAMPLE + 12
    buffer = kind(room)
    torch.manual_seed(3)
    state, kept = torch.get_rng_state(), []
    starts = [0, *range(60, 100), 250]
    for start, stop in pairwise(starts):
        buffer.post_adapt(None, SimpleNamespace(dataset=data.subset(list(range(start, stop)))))
        kept.append(sorted(sample[0].numpy().tobytes() for sample in buffer.buffer))
        saved, buffer = buffer_state(buffer), kind(room)
        load_buffer_state(buffer, saved)
        assert room - SAMPLE < bytes_of_samples(buffer.buffer).sum() <= room
    torch.set_rng_state(state)
    lots = torch.zeros(0)
    for start, stop, held in zip(starts[:-1], starts[1:], kept, strict=True):
        lots = torch.cat([lots, torch.rand(stop - start)])
        highest = lots.argsort(descending=True)[: len(held)]
        assert held == sorted(benchmark.train_data.rasters[index].numpy().tobytes() for index in highest)
    assert len(kept[0]) == 40 < len(kept[-1])


def test_sizes_are_looked_up_only_as_far_as_is_needed():
    looked_up = []

    def bytes_of(positions):
        looked_up.append(positions.stop)
        return np.full(len(positions), 10)

    groups = [Costs(1000, bytes_of), Costs(1000, bytes_of), Costs(3, bytes_of)]
    assert lengths_within(groups, 215) == [9, 9, 3]
    assert max(looked_up) < 30
    assert lengths_within(groups, 30) == [1, 1, 1]
    assert lengths_within(groups, 49) == [2, 1, 1]
    assert lengths_within(groups, 10**6) == lengths_within(groups, None) == [1000, 1000, 3]


def test_logits_count():
    """Six logits of four bytes beside each sample."""
    strategy = composed("der_plus_plus", memory=20 * (SAMPLE + 4 * K))
    learn(strategy, even_benchmark())
    assert memory_bytes(strategy) == 20 * (SAMPLE + 4 * K)


def test_balanced_replay_is_avalanches():
    ours = composed("replay_balanced", memory=20 * SAMPLE)
    theirs = tiny_strategy(spiking_network(), [ReplayPlugin(20, storage_policy=ClassBalancedBuffer(20))])
    assert torch.equal(weights_of(learn(ours, even_benchmark())), weights_of(learn(theirs, even_benchmark())))


def test_agem_is_avalanches():
    ours = composed("agem", memory=3 * 8 * SAMPLE, sample_size=6)
    theirs = tiny_strategy(spiking_network(), [AGEMPlugin(8, 6)])
    assert torch.equal(weights_of(learn(ours, even_benchmark())), weights_of(learn(theirs, even_benchmark())))


def test_gem_is_avalanches_with_packed_rasters():
    each = PACKED + 16
    ours = composed("gem", memory=3 * 8 * each, margin=0.5)
    theirs = tiny_strategy(spiking_network(), [GEMPlugin(8, 0.5)])
    learn(ours, even_benchmark())
    learn(theirs, even_benchmark())
    assert torch.equal(weights_of(ours.model), weights_of(theirs.model))
    assert memory_bytes(ours) == 3 * 8 * each
    assert memory_bytes(theirs) == 3 * 8 * (T * C * 4 + 16)


def test_gem_takes_what_it_draws_until_a_sample_does_not_fit():
    """The samples that Avalanche's draws, as it stores them; and they are unpacked as long as an experience lasts."""
    theirs = tiny_strategy(spiking_network(), [GEMPlugin(40, 0.5)], train_epochs=0)
    ours = composed("gem", memory=1500, train_epochs=0)
    learn(theirs, varied_benchmark())
    learn(ours, varied_benchmark())
    gem, drawn = plugin_of(ours, GEMPlugin), plugin_of(theirs, GEMPlugin).memory_x
    for number, packed in gem.packed.items():
        assert 10 < len(packed) < 40
        assert torch.equal(packed.unpacked(), drawn[number][: len(packed)])
    assert gem.memory_x == {}
    ours.experience, ours.clock.train_exp_counter = varied_benchmark().train_stream[2], 2
    gem.before_training_exp(ours)
    assert {number: len(rasters) for number, rasters in gem.memory_x.items()} == {
        number: len(packed) for number, packed in gem.packed.items()
    }


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_packed_rasters_come_out_as_they_went_in(dtype):
    rasters = torch.randint(0, 9, (300, T, C + 1)).to(dtype)
    rasters[5] = 0
    rasters[6, 0, 0] = 255
    packed = PackedRasters.of(rasters)
    assert torch.equal(packed.unpacked(), rasters)
    assert packed.unpacked().dtype == dtype
    assert packed.bytes_each.sum() == packed.rows.nbytes
    kept = PackedRasters.from_state(packed.keep(torch.tensor([5, 6, 299])).state())
    assert torch.equal(kept.unpacked(), rasters[[5, 6, 299]])


def test_icarl_keeps_those_that_herding_chose_first_and_the_means_of_these():
    def learned(memory):
        seed_everything()  # the classifier is drawn when it is composed
        learner = composed("icarl", memory=memory, train_epochs=1)
        learner.train(varied_benchmark().train_stream[0], eval_streams=[])
        return learner

    strategy, whole = learned(180), learned("unlimited")
    ours, theirs = _plugin_of(strategy), _plugin_of(whole)
    for rasters, everything, order, whole_order, label in zip(
        plugin_of(strategy, _Budget).packed,
        plugin_of(whole, _Budget).packed,
        ours.order,
        theirs.order,
        (0, 1),
        strict=True,
    ):
        assert 3 < len(rasters) < len(everything)
        assert sorted(order.tolist()) == list(range(1, len(rasters) + 1))
        assert torch.equal(rasters.unpacked(), everything.unpacked()[whole_order <= len(rasters)])
        features = strategy.model.feature_extractor(rasters.unpacked())
        mean = functional.normalize(functional.normalize(features).mean(0), dim=0)
        torch.testing.assert_close(ours.class_means[label], mean)
    assert ours.x_memory == []


@pytest.mark.parametrize(("name", "beta"), [("der", 0.0), ("der_plus_plus", 0.5)])
def test_der_with_plain_cross_entropy_is_avalanches(name, beta):
    options = {} if name == "der" else {"labels_weight": beta}
    ours = composed(name, memory=20 * (SAMPLE + 4 * K), logits_weight=0.3, **options)
    theirs = tiny_strategy(spiking_network(), template=DER, mem_size=20, batch_size_mem=8, alpha=0.3, beta=beta)
    learn(ours, even_benchmark())
    learn(theirs, even_benchmark())
    assert torch.equal(weights_of(ours.model), weights_of(theirs.model))


def test_the_loss_of_er_ace_is_avalanches_once_all_classes_have_come():
    buffer = ClassBalancedBuffer(10)
    buffer.seen_classes = {0, 1, 2, 3}
    torch.manual_seed(0)
    new, replayed = torch.randn(6, 4), torch.randn(5, 4)
    new_labels, old_labels = torch.tensor([2, 3, 2, 3, 3, 2]), torch.tensor([0, 1, 1, 2, 0])
    ours = _AsymmetricLoss(buffer)(new, new_labels, replayed, old_labels)
    torch.testing.assert_close(ours, ACECriterion()(new, new_labels, replayed, old_labels))
    buffer.seen_classes = {0, 1, 2}
    among_three = functional.cross_entropy(replayed[:, :3], old_labels)
    among_new = functional.cross_entropy(new[:, 2:], new_labels - 2)
    torch.testing.assert_close(
        _AsymmetricLoss(buffer)(new, new_labels, replayed, old_labels), (among_three + among_new) / 2
    )


@pytest.mark.parametrize("name", ["er_ace", "mir", "replay_balanced", "gem", "agem"])
def test_classes_that_have_not_come_are_not_trained_down(name):
    model = spiking_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    strategy = composed(name, model, SeenClassesCrossEntropy(), optimizer=optimizer, memory="unlimited")
    initial = model.readout.weight.detach().clone()
    seed_everything()
    for experience in tiny_benchmark().train_stream[:2]:
        strategy.train(experience, eval_streams=[])
    assert torch.equal(model.readout.weight[4:], initial[4:])
    assert (model.readout.weight[:4] != initial[:4]).any(1).all()


def test_er_ace_and_der_replay_from_small_buffers_too():
    for name, kind in (("er_ace", ER_ACE), ("der", DER)):
        strategy = composed(name, memory=7 * (SAMPLE + 4 * K), train_mb_size=8)
        first, second, _ = even_benchmark().train_stream
        seed_everything()
        strategy.train(first, eval_streams=[])
        assert isinstance(strategy, kind)
        strategy.model.train()
        strategy.experience = second
        strategy._before_training_exp()
        assert strategy.replay_loader is not None
        assert strategy.model.training, "looking at the budget leaves no trace"
        assert 1 <= strategy.batch_size_mem <= 8


def test_each_sample_has_a_loss():
    logits, labels = torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    loss = _EachSample(nn.CrossEntropyLoss())
    torch.testing.assert_close(loss(logits, labels), functional.cross_entropy(logits, labels))
    loss.reduction = "none"
    torch.testing.assert_close(loss(logits, labels), functional.cross_entropy(logits, labels, reduction="none"))


def test_mir_replays_after_an_experience_of_no_epochs_and_what_was_in_its_last_minibatch():
    strategy = composed("mir", memory="unlimited", train_epochs=0, criterion=SeenClassesCrossEntropy())
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(first, eval_streams=[])
    replay = plugin_of(strategy, _MaximallyInterfered)
    _, labels, _ = next(replay.replay_loader)
    assert set(labels.tolist()) == {0, 1}
    strategy.train_epochs = 1
    strategy.train(second, eval_streams=[])


def test_gdumb_starts_from_the_untrained_network():
    strategy = composed("gdumb", memory=20 * SAMPLE)
    initial = weights_of(strategy.model)
    first, second, _ = even_benchmark().train_stream
    strategy.train(first, eval_streams=[])
    assert not torch.equal(weights_of(strategy.model), initial)
    strategy.train_epochs = 0
    strategy.train(second, eval_streams=[])
    assert torch.equal(weights_of(strategy.model), initial)


def test_cope_trains_on_every_minibatch():
    strategy = composed("cope", memory=20 * SAMPLE)
    cope = plugin_of(strategy, _PrototypeEvolution)
    seed_everything()
    for number, experience in enumerate(even_benchmark().train_stream, start=1):
        strategy.train(experience, eval_streams=[])
        # Two epochs of two minibatches of eight samples, of twelve.
        assert strategy.clock.train_iterations == 4 * number
    lengths = torch.cat(list(cope.p_mem.values())).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(K))
    assert strategy.model.training


def test_icarl_keeps_as_many_of_each_class_and_knows_only_classes_that_have_come():
    class Watch(SupervisedPlugin):
        predicted: ClassVar[list[int]] = []

        def after_eval_iteration(self, strategy, **kwargs):
            self.predicted.extend(strategy.mb_output.argmax(1).tolist())

    strategy = composed("icarl", memory=20 * (PACKED + 5), plugins=[watch := Watch()])
    benchmark = even_benchmark()
    seed_everything()
    for number, experience in enumerate(benchmark.train_stream, start=1):
        strategy.train(experience, eval_streams=[])
        icarl = _plugin_of(strategy)
        packed = plugin_of(strategy, _Budget).packed
        assert len(packed) == len(icarl.y_memory) == len(icarl.order) == 2 * number
        # Avalanche gives up the search for one more after a thousand picks of those that it has.
        assert all(1 <= len(rasters) <= min(6, -(-20 // (2 * number))) for rasters in packed)
        watch.predicted.clear()
        strategy.eval(benchmark.test_stream)
        assert len(watch.predicted) == 36
        assert set(watch.predicted) <= set(range(2 * number))


def test_icarl_tells_no_class_that_has_not_come_though_its_mean_be_the_nearest():
    strategy = composed("icarl", memory="unlimited")
    strategy.train(tiny_benchmark().train_stream[0], eval_streams=[])
    strategy.mb_output = torch.tensor([[-1.0, -1.2, 0.0, 0.0, 0.0, 0.0]])
    plugin_of(strategy, _Budget).after_eval_forward(strategy)
    assert strategy.mb_output.argmax(1).tolist() == [0]


def test_bic_holds_out_no_more_of_a_class_than_its_share_however_large_the_budget():
    strategy = composed("bic", memory="1 MB", validation_share=0.25)
    held_out = plugin_of(strategy, _BiasCorrection).val_buffer
    for experience in tiny_benchmark(n_each=12).train_stream:
        strategy.train(experience, eval_streams=[])
    assert {label: len(buffer.buffer) for label, buffer in held_out.items()} == dict.fromkeys(range(K), 3)


def test_bic_corrects_with_exemplars_of_every_class_that_it_has_not_trained_on():
    strategy = composed("bic", memory=24 * SAMPLE)
    correction = plugin_of(strategy, _BiasCorrection)
    seed_everything()
    for experience in even_benchmark().train_stream:
        strategy.train(experience, eval_streams=[])
    held_out = {label: len(buffer.buffer) for label, buffer in correction.val_buffer.items()}
    assert held_out == dict.fromkeys(range(K), 1)
    assert len(correction.storage_policy.buffer) == 18
    kept = {sample[0].numpy().tobytes() for sample in correction.storage_policy.buffer}
    for buffer in correction.val_buffer.values():
        assert not kept & {sample[0].numpy().tobytes() for sample in buffer.buffer}
    assert correction.bias_layer.clss.tolist() == [4, 5]
    assert (correction.bias_layer.alpha.item(), correction.bias_layer.beta.item()) != (1.0, 0.0)


def test_the_teacher_of_bic_is_heard_class_by_class():
    correction = _BiasCorrection("1 kB", 0.1, 2.0, 10)
    torch.manual_seed(0)
    new, old = torch.randn(3, 4), torch.randn(3, 4)
    by_hand = -(functional.softmax(old / 2, 1) * functional.log_softmax(new / 2, 1)).sum(1).mean()
    torch.testing.assert_close(correction.cross_entropy(new, old), by_hand)


@pytest.mark.parametrize("name", ["gem", "agem"])
def test_a_budget_that_is_shared_out_is_not_passed_by_training_again(name: str) -> None:
    strategy, benchmark = composed(name, memory=1500), tiny_benchmark()
    for experience in benchmark.train_stream:
        strategy.train(experience)
    with pytest.raises(ValueError, match="shared out among the 3 experiences of the stream, all of which have had"):
        strategy.train(benchmark.train_stream[0])
