from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor

from avalanche_snn.models import LeakyReadout
from avalanche_snn.neurons.kernels.integration import leaky_membranes


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def membranes_by_loop(readout: LeakyReadout, x: Tensor) -> Tensor:
    """The paper's readout step by step: at rest, then flt' = alpha flt + h; out' = beta out + flt; `[B, T + 1, K]`."""
    filtered = torch.zeros(x.shape[0], readout.n_classes, dtype=x.dtype)
    out = torch.zeros_like(filtered)
    trace = [out]
    for step in range(x.shape[1]):
        drive = x[:, step] @ readout.weight.T
        filtered, out = readout.alpha * filtered + drive, readout.beta * out + filtered
        trace.append(out)
    return torch.stack(trace, dim=1)


def test_trace_worked_out_by_hand() -> None:
    # alpha = 1/2, beta = 1/4, one input of 1 in the first step and of 2 in the second:
    # current 1, 2.5, 1.25, .625;  membrane 0, 1, .25+2.5, .6875+1.25
    readout = LeakyReadout(1, 1, alpha=0.5, beta=0.25).double()
    currents = torch.tensor([1.0, 2.0, 0.0, 0.0], dtype=torch.float64).reshape(4, 1, 1)
    assert leaky_membranes(currents, 0.5, 0.25).flatten().tolist() == [0.0, 1.0, 2.75, 1.9375]
    with torch.no_grad():
        readout.weight.fill_(1.0)
    assert readout(currents.transpose(0, 1)).item() == 2.75
    mean = LeakyReadout(1, 1, "mean", alpha=0.5, beta=0.25).double()
    mean.load_state_dict(readout.state_dict())
    assert mean(currents.transpose(0, 1)).item() == (0.0 + 1.0 + 2.75 + 1.9375) / 4


@pytest.mark.parametrize("n_steps", [1, 2, 3, 40, 300])
@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_logits_and_gradients_equal_the_loop(n_steps: int, reduce: str) -> None:
    readout = LeakyReadout(12, 5, reduce, weight_scale=1.0).double()
    spikes = (torch.rand(7, n_steps, 12) < 0.1).double().requires_grad_()

    trace = membranes_by_loop(readout, spikes)
    expected = trace.max(dim=1).values if reduce == "max" else trace[:, 1:].mean(dim=1)
    logits = readout(spikes)

    torch.testing.assert_close(logits, expected, rtol=1e-11, atol=1e-12)
    if n_steps > 1:
        wanted = torch.autograd.grad(expected.square().sum(), (readout.weight, spikes), retain_graph=True)
        found = torch.autograd.grad(logits.square().sum(), (readout.weight, spikes))
        for gradient, reference in zip(found, wanted, strict=True):
            torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_gradients_are_those_of_finite_differences(reduce: str) -> None:
    readout = LeakyReadout(4, 3, reduce).double()
    x = torch.randn(2, 9, 4, dtype=torch.float64, requires_grad=True)

    def logits(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(readout, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(logits, (x, readout.weight))


def test_float32_is_as_exact_as_the_loop_over_long_sequences() -> None:
    readout = LeakyReadout(12, 5, weight_scale=1.0)
    spikes = (torch.rand(4, 1500, 12) < 0.1).float()
    expected = membranes_by_loop(copy.deepcopy(readout).double(), spikes.double())[:, 1:]
    with torch.no_grad():
        currents = (spikes @ readout.weight.T).transpose(0, 1)
        membranes = leaky_membranes(currents, readout.alpha, readout.beta).transpose(0, 1)
    torch.testing.assert_close(membranes.double(), expected.detach(), rtol=0.0, atol=1e-5 * expected.abs().max().item())


def test_decays_at_their_limits() -> None:
    # alpha = beta = 1 integrates twice: membrane after n steps of a constant current is 0 + 1 + ... + (n - 1).
    assert leaky_membranes(torch.ones(6, 1, 1), 1.0, 1.0).flatten().tolist() == [0, 1, 3, 6, 10, 15]
    # alpha = beta = 0 only delays by one step.
    assert leaky_membranes(torch.tensor([3.0, 1.0, 2.0]).reshape(3, 1, 1), 0.0, 0.0).flatten().tolist() == [0, 3, 1]


def test_rest_counts_in_the_maximum() -> None:
    readout = LeakyReadout(3, 2)
    with torch.no_grad():
        readout.weight.fill_(-1.0)
    assert readout(torch.ones(4, 10, 3)).tolist() == [[0.0, 0.0]] * 4


def test_counts_of_any_dtype_copies_and_pickles() -> None:
    readout = LeakyReadout(6, 4)
    counts = torch.randint(0, 3, (5, 20, 6), dtype=torch.uint8)
    logits = readout(counts)
    assert logits.shape == (5, 4)
    assert logits.dtype == torch.float32
    for other in (readout, copy.deepcopy(readout), pickle.loads(pickle.dumps(readout))):
        assert torch.equal(other(counts.float()), logits)
    assert repr(readout) == "LeakyReadout(6, 4, max, alpha=0.8187, beta=0.9048)"


@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
def test_autocast_changes_nothing(kernel: str) -> None:
    readout = LeakyReadout(6, 4, kernel=kernel)
    rates = torch.rand(5, 20, 6)  # as dropout leaves them
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = readout(rates)
    assert found.dtype == torch.float32
    assert torch.equal(found, readout(rates))


@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
def test_what_is_no_number_shows(kernel: str) -> None:
    counts = torch.ones(2, 20, 6)
    counts[1, 7, 3] = torch.nan
    assert LeakyReadout(6, 4, kernel=kernel)(counts).isnan().any(dim=1).tolist() == [False, True]


def test_initial_weights_of_the_paper_have_their_spread() -> None:
    assert LeakyReadout(400, 100).weight.std().item() == pytest.approx(0.2 / math.sqrt(400), rel=0.03)


def test_bad_arguments_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown readout 'sum': choose one of 'max', 'mean'"):
        LeakyReadout(6, 4, "sum")
    with pytest.raises(ValueError, match="at least 1 input and 1 class, came 6 and 0"):
        LeakyReadout(6, 0)
    with pytest.raises(ValueError, match=r"beta .* wanted 0 to 1, came 2"):
        LeakyReadout(6, 4, beta=2.0)
    with pytest.raises(ValueError, match=r"wanted an input \[B, T, 6\], T >= 1, came \[5, 20, 7\]"):
        LeakyReadout(6, 4)(torch.zeros(5, 20, 7))
