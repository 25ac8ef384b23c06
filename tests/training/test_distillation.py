"""Distillation from the network as it was before an experience."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_learners import C, K, T, learn, tiny_benchmark, tiny_network, tiny_strategy
from torch import nn

from avalanche_snn.training import CompressedLatentReplayPlugin
from avalanche_snn.training.distillation import Teacher


class Fixed(nn.Module):
    """A network whose logits are the sums of its input over time."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * x.sum(1)


def test_loss_is_zero_where_logits_differ_by_a_constant_or_on_unknown_classes():
    teacher, x = Teacher(Fixed(), [2, 0]), torch.tensor([[[1.0, 5.0, 2.0]]])
    assert teacher.classes == [0, 2]
    logits = torch.tensor([[4.0, -9.0, 5.0]])
    assert teacher.loss(x, torch.tensor([2]), logits, 2.0).item() == pytest.approx(0, abs=1e-7)


def test_loss_is_the_divergence_worked_out_by_hand():
    # The teacher says ln 3 and 0: 3/4 and 1/4; the network says 1/2 and 1/2.
    x = torch.tensor([[[3.0, 1.0]]]).log()
    wanted = 0.75 * torch.tensor(0.75 / 0.5).log() + 0.25 * torch.tensor(0.25 / 0.5).log()
    found = Teacher(Fixed(), [0, 1]).loss(x, torch.tensor([0]), torch.zeros(1, 2), 1.0)
    torch.testing.assert_close(found, wanted)
    # Twice the logits at twice the temperature are the same softmax; the loss is multiplied by its square.
    hotter = Teacher(Fixed(), [0, 1]).loss(2 * x, torch.tensor([0]), torch.zeros(1, 2), 2.0)
    torch.testing.assert_close(hotter, 4 * wanted)


def test_a_teacher_is_not_followed_where_it_is_wrong():
    x = torch.tensor([[[3.0, 1.0, 0.0]]]).expand(4, 1, 3)
    teacher, logits = Teacher(Fixed(), [0, 1]), torch.zeros(4, 3)
    alone = teacher.loss(x[:1], torch.tensor([0]), logits[:1], 1.0)
    # Right, wrong, and twice of a class that it does not know: three of four samples count.
    torch.testing.assert_close(teacher.loss(x, torch.tensor([0, 1, 2, 2]), logits, 1.0), alone * 3 / 4)


def test_a_teacher_stays_as_it_was_and_shares_the_frozen_front_only():
    network, x = tiny_network(), torch.ones(2, T, C)
    network.cut("hidden1", x)
    network.freeze_front()
    network.eval()
    teacher = Teacher(network, range(K))
    before = network(x).detach()
    back = [layer for name, layer in network.named_children() if name != "hidden1"]
    assert teacher.nbytes == sum(t.nbytes for layer in back for t in (*layer.parameters(), *layer.buffers()))
    assert teacher._model.hidden1 is network.hidden1
    with torch.no_grad():
        for parameter in network.readout.parameters():
            parameter.add_(1.0)
    labels = before.argmax(dim=1)
    assert teacher.loss(x, labels, before, 1.0).item() == pytest.approx(0, abs=1e-6)
    assert teacher.loss(network.encode(x), labels, before, 1.0).item() == pytest.approx(0, abs=1e-6)
    assert all(parameter.requires_grad for parameter in network.readout.parameters())


def test_only_training_the_first_experience_goes_without():
    plugin = CompressedLatentReplayPlugin("hidden1", "unlimited", distillation=1.0)
    plain = CompressedLatentReplayPlugin("hidden1", "unlimited")
    with_it, without = (tiny_strategy(tiny_network(), [p]) for p in (plugin, plain))
    benchmark = tiny_benchmark()
    for strategy in (with_it, without):
        torch.manual_seed(0)
        strategy.train(benchmark.train_stream[0])
    for one, other in zip(with_it.model.parameters(), without.model.parameters(), strict=True):
        assert torch.equal(one, other)
    bytes_between = plugin.memory_bytes, plugin.working_bytes
    assert bytes_between == (plain.memory_bytes, plain.working_bytes)


def test_a_strong_distillation_keeps_old_logits_where_they_were():
    drift = {}
    for weight in (0.0, 4.0):
        plugin = CompressedLatentReplayPlugin("hidden1", "unlimited", distillation=weight, evaluation_mode=True)
        strategy = tiny_strategy(tiny_network(), [plugin], train_epochs=8)
        benchmark = tiny_benchmark(2)
        torch.manual_seed(0)
        strategy.train(benchmark.train_stream[0])
        before = copy.deepcopy(strategy.model).eval()
        for group in strategy.optimizer.param_groups:
            group["lr"] = 0.01
        strategy.train(benchmark.train_stream[1])
        x = benchmark.train_data.rasters
        old = slice(0, K // 2)
        with torch.no_grad():
            then, now = (m.eval()(x)[:, old].log_softmax(1) for m in (before, strategy.model))
        drift[weight] = (then - now).abs().mean().item()
    assert drift[4.0] < 0.7 * drift[0.0]


def test_working_bytes_count_the_teacher_while_it_is_there():
    sizes = []

    class Look(CompressedLatentReplayPlugin):
        def before_backward(self, strategy, **kwargs):
            super().before_backward(strategy, **kwargs)
            sizes.append((strategy.clock.train_exp_counter, self.working_bytes))

    seen = {}
    for weight in (0.0, 1.0):
        sizes.clear()
        plugin = Look("hidden1", "unlimited", distillation=weight)
        strategy = tiny_strategy(tiny_network(), [plugin])
        learn(strategy, tiny_benchmark())
        seen[weight] = max(size for experience, size in sizes if experience == 2)
    back = [layer for name, layer in strategy.model.named_children() if name != "hidden1"]
    assert seen[1.0] - seen[0.0] == sum(t.nbytes for layer in back for t in (*layer.parameters(), *layer.buffers()))


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match=r"distillation must be a weight of 0 or more, but -1"):
        CompressedLatentReplayPlugin(distillation=-1)
    with pytest.raises(ValueError, match=r"temperature must lie above 0, but 0"):
        CompressedLatentReplayPlugin(distillation=1, temperature=0)
