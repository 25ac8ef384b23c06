"""Learning rates over the steps of an experience, as torch's schedulers give them."""

from __future__ import annotations

import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import ReplayPlugin
from tiny_learners import learn, tiny_benchmark, tiny_network, tiny_strategy
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from avalanche_snn.training import CompressedLatentReplayPlugin, LearningRateSchedule
from strategies import streaming_lda

RATE = 0.05


class Rates(SupervisedPlugin):
    """Keeps the learning rate of every step, by experience."""

    def __init__(self):
        super().__init__()
        self.by_experience = {}

    def before_update(self, strategy, **kwargs):
        rates = self.by_experience.setdefault(strategy.clock.train_exp_counter, [])
        rates.append(strategy.optimizer.param_groups[0]["lr"])


def rates_of(schedule, *others, **options):
    rates = Rates()
    strategy = tiny_strategy(tiny_network(), [*others, schedule, rates], **options)
    learn(strategy, tiny_benchmark())
    assert strategy.optimizer.param_groups[0]["lr"] == RATE
    return rates.by_experience


def torch_rates(make, n_steps):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler, rates = make(optimizer, n_steps), []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


SHAPES = {
    "one_cycle": lambda optimizer, n: OneCycleLR(optimizer, RATE, total_steps=n + 1 if n == 1 else n),
    "cosine": CosineAnnealingLR,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("epochs", [1, 5])
def test_rates_are_those_of_torch(shape, epochs):
    found = rates_of(LearningRateSchedule(shape), train_epochs=epochs)
    # 12 samples an experience in minibatches of 8: two steps an epoch.
    wanted = torch_rates(SHAPES[shape], 2 * epochs)
    assert found.keys() == {0, 1, 2}
    for rates in found.values():
        assert rates == pytest.approx(wanted, rel=1e-9, abs=1e-15)


def test_steps_are_counted_where_replays_make_more_of_them():
    found = rates_of(LearningRateSchedule("cosine"), CompressedLatentReplayPlugin("hidden1", "unlimited"))
    # A half of each minibatch of 8 is new in experience 1, so 12 samples take 3 steps.
    assert len(found[1]) == 2 * 3
    assert found[1] == pytest.approx(torch_rates(CosineAnnealingLR, 6))


@pytest.mark.parametrize("schedule_first", [True, False])
def test_steps_are_counted_where_a_plugin_has_a_data_loader_of_its_own(schedule_first):
    """Avalanche's own replay puts one in the place of the strategy's, in its turn."""
    rates, schedule = Rates(), LearningRateSchedule("cosine")
    # Of 12 new samples, two in each minibatch; the strategy's own data loader has two minibatches of 8.
    replay = ReplayPlugin(12, batch_size=2, batch_size_mem=6)
    plugins = [schedule, replay] if schedule_first else [replay, schedule]
    learn(tiny_strategy(tiny_network(), [*plugins, rates], train_epochs=1), tiny_benchmark())
    assert rates.by_experience[1] == pytest.approx(torch_rates(CosineAnnealingLR, 6))


def test_the_first_experience_may_have_a_shape_of_its_own():
    found = rates_of(LearningRateSchedule("constant", first_shape="cosine"))
    assert found[0] == pytest.approx(torch_rates(CosineAnnealingLR, 4))
    assert found[1] == found[2] == [RATE] * 4


class BrokenOffError(Exception):
    """Stands for whatever ends a training."""


def test_a_training_that_broke_off_leaves_no_small_rate_behind():
    class BreaksOff(SupervisedPlugin):
        n_left = 3

        def after_update(self, strategy, **kwargs):
            self.n_left -= 1
            if self.n_left == 0:
                raise BrokenOffError

    rates = Rates()
    strategy = tiny_strategy(tiny_network(), [LearningRateSchedule("cosine"), rates, BreaksOff()])
    experience = tiny_benchmark().train_stream[0]
    with pytest.raises(BrokenOffError):
        strategy.train(experience)
    strategy.train(experience)
    wanted = torch_rates(CosineAnnealingLR, 4)
    assert rates.by_experience[0] == pytest.approx([*wanted[:3], *wanted])


def test_a_rate_that_was_set_by_hand_in_between_is_the_new_one():
    rates = Rates()
    strategy = tiny_strategy(tiny_network(), [LearningRateSchedule("cosine"), rates])
    benchmark = tiny_benchmark()
    strategy.train(benchmark.train_stream[0])
    strategy.optimizer.param_groups[0]["lr"] = 0.5
    strategy.train(benchmark.train_stream[1])
    assert rates.by_experience[1][0] == 0.5


def test_no_epochs_change_nothing():
    schedule = LearningRateSchedule("one_cycle")
    strategy = tiny_strategy(tiny_network(), [schedule], train_epochs=0)
    strategy.train(tiny_benchmark().train_stream[0])
    assert strategy.optimizer.param_groups[0]["lr"] == RATE


def test_unknown_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match="unknown shape 'saw': choose one of 'constant', 'one_cycle', 'cosine'"):
        LearningRateSchedule("saw")


def test_a_strategy_without_an_optimizer_is_left_alone():
    network = tiny_network()
    strategy = streaming_lda.build(
        network, None, plugins=[LearningRateSchedule("cosine")], evaluator=None, train_mb_size=8, eval_mb_size=16
    )
    strategy.train_epochs = 0  # it makes one pass all the same
    strategy.train(tiny_benchmark(task_labels=True).train_stream[0])
    assert strategy.num_updates > 0
