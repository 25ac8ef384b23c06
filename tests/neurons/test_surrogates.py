from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from snntorch import surrogate as snntorch_surrogate
from torch import Tensor

from avalanche_snn.neurons import Surrogate, parse_surrogate

SPECS = ("fast_sigmoid/25", "fast_sigmoid/100", "sigmoid/4", "atan/2", "triangular/0.5", "box/1")


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        ("fast_sigmoid/25", snntorch_surrogate.fast_sigmoid(slope=25)),
        ("fast_sigmoid/100", snntorch_surrogate.fast_sigmoid(slope=100)),
        ("sigmoid/25", snntorch_surrogate.sigmoid(slope=25)),
        ("atan/2", snntorch_surrogate.atan(alpha=2.0)),
        ("atan/3.5", snntorch_surrogate.atan(alpha=3.5)),
    ],
)
def test_spikes_and_derivatives_equal_snntorch(spec: str, theirs: Callable[[Tensor], Tensor]) -> None:
    x = torch.cat((torch.linspace(-2.0, 2.0, 401), torch.tensor([0.0])))
    ours_x, theirs_x = x.clone().requires_grad_(), x.clone().requires_grad_()

    ours, expected = parse_surrogate(spec).spike(ours_x), theirs(theirs_x)

    assert torch.equal(ours, expected)
    (ours_gradient,) = torch.autograd.grad(ours.sum(), ours_x)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), theirs_x)
    torch.testing.assert_close(ours_gradient, expected_gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("spec", "x", "derivative"),
    [
        ("fast_sigmoid/100", 0.01, 0.25),  # 1 / (1 + 1)^2
        ("fast_sigmoid/100", -0.09, 0.01),  # 1 / (9 + 1)^2
        ("sigmoid/4", 0.0, 1.0),  # 4 * 1/2 * 1/2
        ("atan/2", 1.0 / math.pi, 0.5),  # 1 / (1 + 1)
        ("triangular/1", 0.25, 0.75),
        ("triangular/1", -1.5, 0.0),
        ("triangular/0.5", -0.25, 0.5),
        ("box/1", 0.49, 1.0),
        ("box/1", -0.51, 0.0),
    ],
)
def test_derivative_at_a_point(spec: str, x: float, derivative: float) -> None:
    point = torch.tensor([x], dtype=torch.float64)
    assert parse_surrogate(spec).derivative(point).item() == pytest.approx(derivative, rel=1e-12)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spikes_keep_the_dtype_and_gradients_are_scaled_by_the_derivative(spec: str, dtype: torch.dtype) -> None:
    surrogate = parse_surrogate(spec)
    x = torch.tensor([-0.3, -0.0, 0.0, 1e-30, 0.2], dtype=dtype, requires_grad=True)

    spikes = surrogate.spike(x)
    weights = torch.tensor([2.0, -1.0, 3.0, 0.5, 4.0], dtype=dtype)
    (gradient,) = torch.autograd.grad((weights * spikes).sum(), x)

    assert spikes.dtype == dtype
    assert spikes.tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert torch.equal(gradient, weights * surrogate.derivative(x.detach()))


@pytest.mark.parametrize("spec", SPECS)
def test_derivative_is_finite_far_from_the_threshold_and_leaves_its_argument_alone(spec: str) -> None:
    x = torch.tensor([-1e4, -300.0, 0.5, 300.0, 1e4])
    before = x.clone()
    derivative = parse_surrogate(spec).derivative(x)
    assert torch.isfinite(derivative).all()
    assert (derivative >= 0).all()
    assert torch.equal(x, before)


def test_defaults_are_those_of_snntorch() -> None:
    assert parse_surrogate("fast_sigmoid") == Surrogate("fast_sigmoid", 25.0)
    assert parse_surrogate("sigmoid") == Surrogate("sigmoid", 25.0)
    assert parse_surrogate("atan") == Surrogate("atan", 2.0)


def test_a_surrogate_reads_back_from_its_own_name() -> None:
    for spec in SPECS:
        surrogate = parse_surrogate(spec)
        assert str(surrogate) == spec
        assert parse_surrogate(surrogate) is surrogate


def test_unknown_name_lists_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"'relu/3'.*fast_sigmoid/25, sigmoid/25, atan/2, triangular/1, box/1"):
        parse_surrogate("relu/3")


@pytest.mark.parametrize("spec", ["atan/", "atan/x", "atan/0", "atan/-2", "atan/nan", "atan/inf"])
def test_bad_parameter_is_named(spec: str) -> None:
    with pytest.raises(ValueError, match="wanted a positive number"):
        parse_surrogate(spec)
