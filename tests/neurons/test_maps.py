"""Leaky neurons of feature maps: as snnTorch's, on every kernel, in every dtype and memory format."""

from __future__ import annotations

import pytest
import snntorch
import torch
from torch import Tensor

from avalanche_snn.neurons import LeakyMaps, available_kernels
from avalanche_snn.neurons.surrogates import SURROGATES

N_STEPS = 5
RESETS = [("zero", False), ("zero", True), ("subtract", True), ("none", True)]
FAST = [name for name, reason in available_kernels().items() if name != "reference" and reason is None]


def currents(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N_STEPS * 3, *shape, generator=generator, dtype=torch.float64).add_(0.4).to(dtype)


def spikes_and_gradient(neurons: LeakyMaps, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    spikes = neurons(x)
    weights = torch.linspace(-1, 2, spikes.numel(), dtype=spikes.dtype).view(spikes.shape)
    (spikes * weights).sum().backward()
    assert x.grad is not None
    return spikes.detach(), x.grad


@pytest.mark.parametrize(("reset", "delay"), RESETS)
def test_spikes_and_gradients_are_those_of_snntorch(reset: str, delay: bool) -> None:
    x = currents(7, dtype=torch.float32)
    spikes, gradient = spikes_and_gradient(
        LeakyMaps(N_STEPS, beta=0.5, reset=reset, reset_delay=delay, surrogate="atan/2", kernel="reference"), x
    )
    neuron = snntorch.Leaky(0.5, spike_grad=snntorch.surrogate.atan(2.0), reset_mechanism=reset, reset_delay=delay)
    same = x.clone().requires_grad_()
    membrane, theirs = neuron.reset_mem(), []
    for current in same.view(N_STEPS, 3, 7):
        fired, membrane = neuron(current, membrane)
        theirs.append(fired)
    expected = torch.cat(theirs)
    (expected * torch.linspace(-1, 2, expected.numel()).view(expected.shape)).sum().backward()
    assert 0 < spikes.mean() < 1
    torch.testing.assert_close(spikes, expected.detach(), rtol=0, atol=0)
    torch.testing.assert_close(gradient, same.grad)


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize(("reset", "delay"), RESETS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_kernel_has_the_spikes_and_gradients_of_the_reference(
    kernel: str, reset: str, delay: bool, surrogate: str
) -> None:
    x = currents(2, 9, 61)  # 3294 neurons: whole blocks and a part of one
    constants = {"reset": reset, "reset_delay": delay, "surrogate": surrogate, "threshold": 0.8, "beta": 0.7}
    spikes, gradient = spikes_and_gradient(LeakyMaps(N_STEPS, kernel="reference", **constants), x)
    fast = LeakyMaps(N_STEPS, kernel=kernel, **constants)
    own_spikes, own_gradient = spikes_and_gradient(fast, x)
    torch.testing.assert_close(own_spikes, spikes, rtol=0, atol=0)
    torch.testing.assert_close(own_gradient, gradient, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), spikes, rtol=0, atol=0)


def test_a_worked_trace_with_gradients_through_the_reset() -> None:
    # u = 1.5, spike, cleared; u = 0.8; u = 0.4 + 0.7 = 1.1, spike.
    x = torch.tensor([1.5, 0.8, 0.7], dtype=torch.float64, requires_grad=True)
    spikes = LeakyMaps(3)(x.view(3, 1)).flatten()
    assert spikes.tolist() == [1, 0, 1]
    spikes[2].backward()
    # d s3 / d u3 = 1 - |1.1 - 1| = 0.9; d u3 / d u2 = 0.5 (1 - 0 - 0.8 (1 - 0.2)) = 0.18;
    # d u2 / d u1 = 0.5 (1 - 1 - 1.5 (1 - 0.5)) = -0.375.
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([0.9 * 0.18 * -0.375, 0.9 * 0.18, 0.9], dtype=torch.float64))


@pytest.mark.parametrize("kernel", ["reference", *FAST])
def test_memory_format_and_input_stay_as_they_are(kernel: str) -> None:
    x = currents(6, 4, 5, dtype=torch.float32)
    last = x.to(memory_format=torch.channels_last)
    before = last.clone()
    spikes = LeakyMaps(N_STEPS, kernel=kernel)(last)
    assert spikes.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(spikes, LeakyMaps(N_STEPS, kernel=kernel)(x))
    assert torch.equal(last, before)


@pytest.mark.parametrize("kernel", [name for name in ("reference", "torch") if name in ("reference", *FAST)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_membranes_are_those_of_float32(kernel: str, dtype: torch.dtype) -> None:
    # 0.5 * 0.98 + 0.5117 = 1.0017, which bfloat16 rounds to the threshold; a spike all the same.
    x = torch.tensor([[0.98], [0.5117]]).to(dtype)
    exact = LeakyMaps(2, kernel="reference")(x.float())
    assert exact.flatten().tolist() == [0, 1]
    spikes, gradient = spikes_and_gradient(LeakyMaps(2, kernel=kernel), x)
    assert spikes.dtype == dtype
    assert torch.equal(spikes.float(), exact)
    _, wide = spikes_and_gradient(LeakyMaps(2, kernel="reference"), x.float())
    torch.testing.assert_close(gradient.float(), wide, rtol=2e-2, atol=1e-2)


def test_no_samples_no_spikes() -> None:
    assert LeakyMaps(4)(torch.zeros(0, 3, 2, 2)).shape == (0, 3, 2, 2)


def test_errors_say_what_was_wanted() -> None:
    with pytest.raises(ValueError, match="at least 1 time step, came 0"):
        LeakyMaps(0)
    with pytest.raises(ValueError, match="has no kernel 'torch'"):
        LeakyMaps(2, reset="subtract", kernel="torch")
    with pytest.raises(ValueError, match="unknown kernel 'fast'"):
        LeakyMaps(2, kernel="fast")
    with pytest.raises(ValueError, match=r"currents \[T B, ...\] with T = 4, came \[6, 2\]"):
        LeakyMaps(4)(torch.zeros(6, 2))
    with pytest.raises(ValueError, match="the kernel 'triton' does not run here: wanted a CUDA device"):
        LeakyMaps(2, kernel="triton")(torch.zeros(2, 1))
    assert LeakyMaps(2, reset="subtract").kernel_for(torch.device("cpu"), torch.float32).name == "reference"
    assert "reset=zero at once" in repr(LeakyMaps(2))
