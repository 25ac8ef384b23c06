"""Strategies that keep exemplars: Avalanche's methods, within a budget in bytes."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import GEMPlugin, ReplayPlugin
from avalanche.training.regularization import ACECriterion
from avalanche.training.storage_policy import ClassBalancedBuffer
from avalanche.training.supervised import DER, ER_ACE
from exemplar_strategies import SAMPLE, composed, spiking_network
from tiny_learners import C, K, T, learn, seed_everything, tiny_benchmark, tiny_strategy
from torch import nn
from torch.nn import functional

from avalanche_snn.evaluation import memory_bytes
from avalanche_snn.training import BudgetTooSmallError, SeenClassesCrossEntropy
from benchmarks.catalogue import options_of, strategy_names
from strategies.bic import _BiasCorrection
from strategies.cope import _PrototypeEvolution
from strategies.er_ace import _AsymmetricLoss
from strategies.gem import _PackedRasters
from strategies.icarl import _Budget, _plugin_of
from strategies.mir import _EachSample, _MaximallyInterfered

WITH_EXEMPLARS = [name for name in strategy_names() if "memory" in options_of(name) and "codec" not in options_of(name)]
# Of packed rasters GEM and iCaRL keep whole bytes of each time step.
PACKED = T * -(-C // 8)


def weights_of(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def plugin_of(strategy, kind):
    return next(plugin for plugin in strategy.plugins if isinstance(plugin, kind))


@pytest.mark.parametrize("name", WITH_EXEMPLARS)
def test_the_least_budget_works_and_less_is_an_error_before_anything_is_trained(name):
    strategy = composed(name, memory="1 B")
    before = weights_of(strategy.model)
    with pytest.raises(BudgetTooSmallError, match="memory='1 B' is too small for") as caught:
        learn(strategy, tiny_benchmark())
    assert torch.equal(weights_of(strategy.model), before)
    least = caught.value.least_bytes
    with pytest.raises(BudgetTooSmallError):
        learn(composed(name, memory=least - 1), tiny_benchmark())
    learn(composed(name, memory=least), tiny_benchmark())


@pytest.mark.parametrize("name", ["replay_balanced", "replay_reservoir", "replay_herding", "er_ace", "mir"])
def test_a_budget_is_filled_and_never_passed(name):
    strategy = composed(name, memory=20 * SAMPLE + 5)
    learn(strategy, tiny_benchmark())
    assert memory_bytes(strategy) == 20 * SAMPLE
    unlimited = composed(name, memory="unlimited")
    learn(unlimited, tiny_benchmark())
    assert memory_bytes(unlimited) == 36 * SAMPLE


def test_samples_that_cost_more_are_fewer():
    """Counts up to 3 take two bits a cell; experience 2 brings the first of them."""
    benchmark = tiny_benchmark()
    benchmark.train_data.rasters[24:] *= 3
    strategy = composed("replay_balanced", memory=20 * SAMPLE)
    seed_everything()
    kept = []
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[])
        kept.append(len(plugin_of(strategy, ReplayPlugin).storage_policy.buffer))
        assert memory_bytes(strategy) <= 20 * SAMPLE
    assert kept == [12, 20, 20 * SAMPLE // (2 * T * C // 8 + 1)]


def test_logits_count():
    """Six logits of four bytes beside each sample."""
    strategy = composed("der_plus_plus", memory=20 * (SAMPLE + 4 * K))
    learn(strategy, tiny_benchmark())
    assert memory_bytes(strategy) == 20 * (SAMPLE + 4 * K)


def test_balanced_replay_is_avalanches():
    ours = composed("replay_balanced", memory=20 * SAMPLE)
    theirs = tiny_strategy(spiking_network(), [ReplayPlugin(20, storage_policy=ClassBalancedBuffer(20))])
    assert torch.equal(weights_of(learn(ours, tiny_benchmark())), weights_of(learn(theirs, tiny_benchmark())))


def test_gem_is_avalanches_with_packed_rasters():
    each = PACKED + 16
    ours = composed("gem", memory=3 * 8 * each, margin=0.5)
    theirs = tiny_strategy(spiking_network(), [GEMPlugin(8, 0.5)])
    learn(ours, tiny_benchmark())
    learn(theirs, tiny_benchmark())
    assert torch.equal(weights_of(ours.model), weights_of(theirs.model))
    assert memory_bytes(ours) == 3 * 8 * each
    assert memory_bytes(theirs) == 3 * 8 * (T * C * 4 + 16)


def test_packed_rasters_come_out_as_they_went_in():
    rasters = torch.randint(0, 9, (5, T, C + 1), dtype=torch.uint8)
    packed = _PackedRasters()
    packed[3] = rasters
    assert torch.equal(packed[3], rasters)
    assert packed[3].dtype == torch.uint8
    assert 3 in packed


@pytest.mark.parametrize(("name", "beta"), [("der", 0.0), ("der_plus_plus", 0.5)])
def test_der_with_plain_cross_entropy_is_avalanches(name, beta):
    options = {} if name == "der" else {"labels_weight": beta}
    ours = composed(name, memory=20 * (SAMPLE + 4 * K), logits_weight=0.3, **options)
    theirs = tiny_strategy(spiking_network(), template=DER, mem_size=20, batch_size_mem=8, alpha=0.3, beta=beta)
    learn(ours, tiny_benchmark())
    learn(theirs, tiny_benchmark())
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
        first, second, _ = tiny_benchmark().train_stream
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
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(first, eval_streams=[])
    assert not torch.equal(weights_of(strategy.model), initial)
    strategy.train_epochs = 0
    strategy.train(second, eval_streams=[])
    assert torch.equal(weights_of(strategy.model), initial)


def test_cope_trains_on_every_minibatch():
    strategy = composed("cope", memory=20 * SAMPLE)
    cope = plugin_of(strategy, _PrototypeEvolution)
    seed_everything()
    for number, experience in enumerate(tiny_benchmark().train_stream, start=1):
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
    benchmark = tiny_benchmark()
    seed_everything()
    for number, experience in enumerate(benchmark.train_stream, start=1):
        strategy.train(experience, eval_streams=[])
        icarl = _plugin_of(strategy)
        assert len(icarl.x_memory) == 2 * number
        # Avalanche gives up the search for one more after a thousand picks of those that it has.
        assert all(1 <= len(rasters) <= min(6, 20 // (2 * number)) for rasters in icarl.x_memory)
        assert all(rasters.dtype == torch.uint8 and rasters.shape[1:] == (T, 2, 1) for rasters in icarl.x_memory)
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


def test_bic_corrects_with_exemplars_of_every_class_that_it_has_not_trained_on():
    strategy = composed("bic", memory=24 * SAMPLE)
    correction = plugin_of(strategy, _BiasCorrection)
    seed_everything()
    for experience in tiny_benchmark().train_stream:
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
