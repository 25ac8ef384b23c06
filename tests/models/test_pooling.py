from __future__ import annotations

import pytest
import torch

from avalanche_snn.models import TimePooling


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_any_takes_the_maximum_of_each_window_and_the_last_may_be_shorter() -> None:
    spikes = torch.tensor([[[0, 1], [1, 1], [0, 0], [0, 1], [1, 0]]]).float()
    pooled = TimePooling(2, "any")(spikes)
    assert pooled.tolist() == [[[1, 1], [0, 1], [1, 0]]]


def test_count_adds_the_spikes_of_each_window() -> None:
    spikes = torch.tensor([[[0, 1], [1, 1], [0, 0], [0, 1], [1, 0]]]).float()
    pooled = TimePooling(2, "count")(spikes)
    assert pooled.tolist() == [[[1, 2], [0, 1], [1, 0]]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integers_are_pooled_as_numbers_are(dtype: torch.dtype) -> None:
    spikes = torch.tensor([0, 1, 1, 0, 1]).reshape(1, 5, 1)
    for mode in ("any", "count"):
        pooled = TimePooling(2, mode)(spikes.to(dtype))
        assert pooled.dtype == (dtype if mode == "any" else torch.int64)
        assert torch.equal(pooled.float(), TimePooling(2, mode)(spikes.float()))


def test_any_passes_the_gradient_to_the_maximum_and_shares_it_between_ties() -> None:
    # Windows of three: one spike; two spikes; none; a shorter one with one.
    spikes = torch.tensor([0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1], dtype=torch.float64).reshape(1, -1, 1).requires_grad_()
    (TimePooling(3, "any")(spikes).flatten() * torch.tensor([2.0, 4.0, 9.0, 5.0])).sum().backward()
    assert spikes.grad is not None
    assert spikes.grad.flatten().tolist() == [0, 2, 0, 2, 0, 2, 3, 3, 3, 0, 5]


def test_a_shorter_window_of_negative_values_is_not_filled_up_with_zeros() -> None:
    x = torch.tensor([-1.0, -2.0, -3.0]).reshape(1, 3, 1)
    assert TimePooling(2, "any")(x).flatten().tolist() == [-1, -3]
    assert TimePooling(2, "count")(x).flatten().tolist() == [-3, -3]


@pytest.mark.parametrize("mode", ["any", "count"])
@pytest.mark.parametrize("window", [1, 3, 7, 50])
def test_gradients_are_those_of_finite_differences(mode: str, window: int) -> None:
    x = torch.randn(2, 11, 3, dtype=torch.float64, requires_grad=True)
    pooling = TimePooling(window, mode)
    assert pooling(x).shape == (2, -(-11 // window), 3)
    assert torch.autograd.gradcheck(pooling, (x,))


@pytest.mark.parametrize("mode", ["any", "count"])
def test_a_window_of_one_changes_nothing_and_counts_are_conserved(mode: str) -> None:
    spikes = (torch.rand(4, 23, 5) < 0.3).float()
    assert torch.equal(TimePooling(1, mode)(spikes), spikes)
    assert torch.equal(TimePooling(6, "count")(spikes).sum(dim=1), spikes.sum(dim=1))


def test_from_spec() -> None:
    for spec, mode, window in (("any/5", "any", 5), ("count/10", "count", 10)):
        pooling = TimePooling.from_spec(spec)
        assert (pooling.mode, pooling.window) == (mode, window)
        assert repr(pooling) == f"TimePooling({spec})"


@pytest.mark.parametrize("spec", ["any", "any/", "any/0", "any/-2", "any/2.5", "any/2/middle", "max/5", "", "/5"])
def test_a_bad_spec_says_what_is_wanted(spec: str) -> None:
    with pytest.raises(ValueError, match=r"wanted 'any/W' or 'count/W'"):
        TimePooling.from_spec(spec)


@pytest.mark.parametrize("window", [0, -1, 2.0, True])
def test_a_bad_window_is_refused(window: object) -> None:
    with pytest.raises(ValueError, match="wanted a window of 1 time step or more"):
        TimePooling(window)  # type: ignore[arg-type]


def test_a_bad_mode_and_a_bad_input_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown mode 'mean', choose one of 'any', 'count'"):
        TimePooling(2, "mean")
    with pytest.raises(ValueError, match=r"wanted an input \[B, T, H\] with T >= 1, came \[4, 5\]"):
        TimePooling(2)(torch.zeros(4, 5))
