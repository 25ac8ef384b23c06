"""Residual spiking networks: the sizes of the publication, statelessness, and what they take."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from avalanche_snn.models import RESIDUAL_NETWORKS, RecurrentSNN, SpikingResNet, Stage
from avalanche_snn.neurons import LeakyMaps

SMALL = (Stage(1, 4, 1), Stage(2, 6, 2))


def images(n: int = 3, size: int = 8) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def small(n_classes: int | None = 5, **options: object) -> SpikingResNet:
    return SpikingResNet(n_classes, SMALL, seed=0, **options)


def test_resnet19_has_the_weights_and_products_of_the_publication() -> None:
    network = SpikingResNet(seed=0)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert sum(module.weight.numel() for module in convolutions) == 12_486_336
    assert network.n_features == 512
    products = []
    for module in convolutions:
        module.register_forward_hook(
            lambda module, _, maps: products.append(module.weight.numel() * maps.shape[2] * maps.shape[3])
        )
    with torch.no_grad():
        network.eval()(images(1, 32))
    assert sum(products) == pytest.approx(2.216e9, rel=1e-3)


@pytest.mark.parametrize("make", [small, lambda: RecurrentSNN(5, (4,), 3, seed=0)])
def test_a_seed_leaves_every_generator_alone(make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    def seed_all(_: int) -> None:
        raise AssertionError("generators of GPUs were seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seed_all)
    before = torch.get_rng_state()
    first, second = make(), make()
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", RESIDUAL_NETWORKS)
def test_every_network_learns_from_all_of_its_weights(name: str) -> None:
    network = SpikingResNet(4, name, n_time_steps=2, width=0.25, seed=1)
    logits = network(images(4, 16))
    assert logits.shape == (4, 4)
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_features_are_the_shares_of_places_and_steps_that_spike() -> None:
    network = small(None)
    spikes = []
    network.blocks.register_forward_hook(lambda *given: spikes.append(given[2]))
    features = network(images())
    (last,) = spikes
    assert last.shape == (4 * 3, 6, 4, 4)
    assert set(last.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(features, last.view(4, 3, 6, 16).mean(dim=(0, 3)))


def test_an_image_is_what_the_same_frame_at_every_step_is() -> None:
    network = small().eval()
    frames = images().unsqueeze(1).repeat(1, 4, 1, 1, 1)
    torch.testing.assert_close(network(images()), network(frames))
    network.train()
    torch.testing.assert_close(network(images()), copy.deepcopy(network)(frames))


def test_nothing_is_kept_and_a_seed_is_a_seed() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    network = small().eval()
    assert torch.equal(torch.get_rng_state(), before)
    once = network(images())
    assert torch.equal(network(images()), once)
    assert torch.equal(copy.deepcopy(network)(images()), once)
    assert torch.equal(small().eval()(images()), once)
    assert not torch.equal(SpikingResNet(5, SMALL, seed=1).eval()(images()), once)


def test_channels_last_and_kernels_change_nothing_but_roundings() -> None:
    network = small(kernel="reference").double().eval()
    expected = network(images().double())
    last = small().double().eval().to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(images().double().to(memory_format=torch.channels_last)), expected)


def test_half_precision_is_for_convolutions_alone() -> None:
    network = small(precision="bfloat16")
    dtypes = set()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, LeakyMaps)):
            module.register_forward_hook(lambda module, _, maps: dtypes.add((type(module), maps.dtype)))
    logits = network(images())
    logits.sum().backward()
    assert logits.dtype == torch.float32
    assert dtypes == {(nn.Conv2d, torch.bfloat16), (LeakyMaps, torch.bfloat16)}
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())


def test_errors_say_what_was_wanted() -> None:
    with pytest.raises(ValueError, match="unknown network 'resnet20': choose one of 'resnet19'"):
        SpikingResNet(network="resnet20")
    with pytest.raises(ValueError, match="unknown precision 'half'"):
        SpikingResNet(precision="half")
    with pytest.raises(ValueError, match="one stage or more"):
        SpikingResNet(network=())
    with pytest.raises(ValueError, match="a width above 0, came 3, 0 and 1"):
        SpikingResNet(0)
    with pytest.raises(ValueError, match=r"frames \[B, 4, C, H, W\], came \[2, 3, 3, 8, 8\]"):
        small()(torch.zeros(2, 3, 3, 8, 8))
