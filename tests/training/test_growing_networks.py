"""ALADE, its parts by their names, DynamicallyExpandable and weight alignment, on tiny data."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.training.supervised import Naive
from growing_learners import N_FEATURES, Ordinary, Watch, composed, learn
from tiny_learners import C, K, tiny_benchmark
from torch import Tensor, nn
from torch.nn import functional

from avalanche_snn.models import ExpandableClassifier, RecurrentSNN, SpikeRates
from avalanche_snn.training import ALADE, WA, DynamicallyExpandable, ExpansionPlugin, HerdedExemplars, SecondStage


def spiking() -> nn.Module:
    return SpikeRates(RecurrentSNN(C, (9, N_FEATURES), K, threshold=0.05, surrogate="fast_sigmoid/10", seed=0))


@pytest.mark.parametrize("make", [Ordinary, spiking])
def test_old_weights_and_statistics_never_move(make: Callable[[], nn.Module]) -> None:
    strategy = composed(make=make)
    frozen: dict[str, Tensor] = {}
    for number, experience in enumerate(tiny_benchmark().train_stream):
        strategy.train(experience)
        assert len(strategy.model.extractors) == number + 1
        state = strategy.model.state_dict()
        for name, tensor in frozen.items():
            assert torch.equal(tensor, state[name]), name
        frozen = {name: tensor.clone() for name, tensor in state.items() if name.startswith("extractors.")}


def test_the_suppressed_block_is_0_after_every_step() -> None:
    looks = []

    def look(strategy: Any) -> None:
        model = strategy.model
        if len(model.extractors) > 1:
            weight = model.classifier.weight
            n_old = weight.shape[1] - N_FEATURES
            looks.append(
                (weight[model.newest, :n_old].abs().sum().item(), weight[model.old, :n_old].abs().min().item())
            )

    learn(composed(head_reset_epoch=1, plugins=[Watch(look, "after_training_iteration", "before_training_epoch")]))
    assert len(looks) > 20
    assert all(block == 0 and others > 0 for block, others in looks)


def test_evaluation_in_the_midst_of_training_changes_nothing() -> None:
    benchmark = tiny_benchmark()

    def look(strategy: Any) -> None:
        before = copy.deepcopy(strategy.model.state_dict())
        modes = {name: module.training for name, module in strategy.model.named_modules()}
        experience = strategy.experience
        strategy.eval(benchmark.test_stream)  # future experiences too
        strategy.experience = experience
        assert before.keys() == strategy.model.state_dict().keys()
        for name, tensor in strategy.model.state_dict().items():
            assert torch.equal(tensor, before[name]), name
        for name, module in strategy.model.named_modules():
            assert module.training == modes[name] or not modes[name], name

    strategy = composed()
    for experience in benchmark.train_stream:
        strategy.train(experience)
        look(strategy)
    evaluated = learn(composed(eval_every=1), benchmark)
    assert len(evaluated.model.extractors) == 3


def test_the_memory_is_never_larger_than_it_may_be_and_keeps_its_prefixes() -> None:
    exemplars = HerdedExemplars(7)
    sizes, before = [], {}

    def look(strategy: Any) -> None:
        sizes.append(len(exemplars))

    strategy = composed(
        exemplars=exemplars,
        plugins=[Watch(look, "before_training_epoch", "after_training_iteration", "after_training")],
    )
    for experience in tiny_benchmark().train_stream:
        strategy.train(experience)
        now = {label: [sample[0] for sample in group] for label, group in exemplars.groups.items()}
        for label, samples in before.items():
            assert len(now[label]) <= len(samples)
            assert all(torch.equal(one, other) for one, other in zip(now[label], samples, strict=False))
        before = now
    assert max(sizes) == 7
    assert {label: len(group) for label, group in exemplars.groups.items()} == {0: 2, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
    assert all(sample[1] == label for label, group in exemplars.groups.items() for sample in group)


def losses_of(**options: Any) -> list[float]:
    """The loss of each minibatch of the second experience, of a fixed network that nothing trains."""
    losses: list[float] = []
    watch = Watch(lambda strategy: losses.append(float(strategy.loss)), "after_backward")
    strategy = composed(second_stage_epochs=0, plugins=[watch], suppression=False, **options)
    strategy.optimizer.param_groups[0]["lr"] = 0.0
    for experience in tiny_benchmark().train_stream[:2]:
        losses.clear()
        strategy.train(experience, shuffle=False)
    return losses


def test_each_part_of_the_loss_can_be_switched_off_and_changes_nothing_else() -> None:
    whole, no_auxiliary, no_distillation, neither = (
        torch.tensor(losses_of(auxiliary=auxiliary, distillation=distillation))
        for auxiliary, distillation in ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0))
    )
    torch.testing.assert_close((whole - no_auxiliary) + (whole - no_distillation), whole - neither)
    assert (whole > no_auxiliary).all()
    assert (whole > no_distillation).all()
    doubled = torch.tensor(losses_of(auxiliary=2.0, distillation=0.0))
    torch.testing.assert_close(doubled - neither, 2 * (no_distillation - neither))


def test_the_distillation_is_the_divergence_from_a_copy_of_the_network_before() -> None:
    teachers, found = [], []

    def look(strategy: Any) -> None:
        if len(strategy.model.extractors) == 2:
            old = strategy.model.old
            with torch.no_grad():
                before = functional.softmax(teachers[-1](strategy.mb_x)[:, old] / 2, dim=1)
                after = functional.softmax(strategy.mb_output[:, old] / 2, dim=1)
                divergence = (before * (before.log() - after.log())).sum(dim=1).mean()
                own = functional.cross_entropy(strategy.mb_output, strategy.mb_y)
            found.append((float(strategy.loss - own), float(divergence)))

    strategy = composed(auxiliary=0.0, plugins=[Watch(look, "after_backward")])
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(first)
    teachers.append(copy.deepcopy(strategy.model).eval())
    strategy.train(second)
    assert len(found) >= 9
    for added, divergence in found:
        assert added == pytest.approx(divergence, rel=1e-3, abs=1e-6)


def test_the_second_stage_trains_the_readout_alone_on_as_many_samples_of_each_class() -> None:
    labels: list[int] = []
    original = SecondStage.train

    def spy(self: SecondStage, model: ExpandableClassifier, dataset: Any, **options: Any) -> float:
        labels.extend(int(sample[1]) for sample in dataset)
        before = copy.deepcopy(model.state_dict())
        shift = original(self, model, dataset, **options)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]) == (not name.startswith("classifier")), name
        return shift

    benchmark = tiny_benchmark()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SecondStage, "train", spy)
        strategy = composed(n_exemplars=6)
        strategy.train(benchmark.train_stream[0])
        assert not labels
        strategy.train(benchmark.train_stream[1])
    assert sorted(labels) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_alignment_can_be_switched_off() -> None:
    shifts = [learn(composed(alignment=alignment)).plugins[0].last_shift for alignment in (True, False)]
    assert shifts[0] != 0
    assert shifts[1] == 0


def test_without_any_part_it_is_replay_with_herded_exemplars() -> None:
    bare = composed(
        expand=False, auxiliary=0.0, distillation=0.0, suppression=False, second_stage_epochs=0, head_reset_epoch=None
    )
    model = copy.deepcopy(bare.model)
    replay = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4),
        train_mb_size=5,
        train_epochs=3,
        plugins=[HerdedExemplars(7)],
        evaluator=None,
    )
    for strategy in (bare, replay):
        torch.manual_seed(4)
        learn(strategy)
    for name, tensor in replay.model.state_dict().items():
        assert torch.equal(tensor, bare.model.state_dict()[name]), name


def test_the_dynamically_expandable_network_does_without() -> None:
    options = {"suppression": False, "distillation": 0.0, "alignment": False}
    states = []
    for template, given in ((DynamicallyExpandable, {}), (ALADE, options)):
        strategy = composed(template, **given)
        torch.manual_seed(4)
        states.append(learn(strategy).model.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    with pytest.raises(TypeError, match="does without suppression: use ALADE"):
        composed(DynamicallyExpandable, suppression=True)


def test_weight_alignment_gives_new_rows_the_norms_of_old_ones() -> None:
    strategy = composed(WA, expand=False)
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(first)
    before = copy.deepcopy(strategy.model).eval()
    mixed = []

    def look(strategy: Any) -> None:
        old = strategy.model.old
        with torch.no_grad():
            own = functional.cross_entropy(strategy.mb_output, strategy.mb_y)
            wanted = functional.softmax(before(strategy.mb_x)[:, old] / 2, dim=1)
            distance = functional.cross_entropy(strategy.mb_output[:, old] / 2, wanted)
        mixed.append((float(strategy.loss), float(own / 2 + distance / 2)))

    strategy.plugins.append(Watch(look, "after_backward"))
    strategy.train(second)
    for loss, expected in mixed:
        assert loss == pytest.approx(expected, rel=1e-5)
    norms = strategy.model.classifier.weight.norm(dim=1)
    torch.testing.assert_close(norms[[0, 1]].mean(), norms[[2, 3]].mean())
    assert strategy.plugins[0].last_factor != 1


def test_errors_say_what_was_wanted() -> None:
    with pytest.raises(ValueError, match=r"A network that grows was wanted, .* but Ordinary came"):
        ALADE(model=Ordinary(), optimizer=torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1))
    with pytest.raises(ValueError, match="came n_exemplars=0 and n_per_class=None"):
        HerdedExemplars(0)
    with pytest.raises(ValueError, match="1 exemplars are too few for 2 classes"):
        learn(composed(n_exemplars=1))
    with pytest.raises(ValueError, match="weights of 0 or more and a temperature above 0"):
        composed(distillation=-1.0)
    with pytest.raises(ValueError, match="head_reset_epoch: wanted 1 or more, or None"):
        composed(head_reset_epoch=0)
    with pytest.raises(ValueError, match="0 epochs or more and a learning rate above 0, came -1"):
        composed(second_stage_epochs=-1)
    with pytest.raises(ValueError, match=r"expand=False\) was wanted"):
        learn(composed(WA))
    model = ExpandableClassifier(Ordinary, K)
    naive = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), 0.1),
        plugins=[ExpansionPlugin(HerdedExemplars(7))],
        train_mb_size=6,
        evaluator=None,
    )
    with pytest.raises(ValueError, match="which Naive does not keep: use a template of"):
        learn(naive)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(8 * C, K))
    herded = Naive(
        model=plain, optimizer=torch.optim.SGD(plain.parameters(), 0.1), plugins=[HerdedExemplars(7)], evaluator=None
    )
    with pytest.raises(TypeError, match="Sequential has no method `features`; give the plugin a module"):
        learn(herded)
