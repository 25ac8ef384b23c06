"""Products and events of the `torch` kernel against torch's own products."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avalanche_snn.neurons.kernels import torch_events, torch_products
from avalanche_snn.neurons.kernels.torch_events import Events, list_events, sum_rows, weight_gradient
from avalanche_snn.neurons.kernels.torch_products import blocks, product, recurrent_weight_gradient

LARGE = 160, 170, 180


def whole_numbers(*shape: int) -> Tensor:
    """Of -4 to 4: their products are exact in whatever order they are summed."""
    return torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("size", [(3, 4, 5), LARGE])
def test_a_product_is_that_of_torch(size: tuple[int, int, int], transposed: bool) -> None:
    n_rows, n_inner, n_outputs = size
    if transposed:
        rows, weight = whole_numbers(n_inner, n_rows).T, whole_numbers(n_inner, n_outputs).T
    else:
        rows, weight = whole_numbers(n_rows, n_inner), whole_numbers(n_outputs, n_inner)
    assert (rows.numel() * n_outputs >= torch_products._MIN_MULTIPLICATIONS) == (size == LARGE)
    assert torch.equal(product(rows, weight), rows @ weight.T)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_products_are_those_of_torch_where_the_other_library_is_not_to_be_had(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*arguments: object) -> Tensor:
        raise error

    n_rows, n_inner, n_outputs = LARGE
    rows, weight = whole_numbers(n_rows, n_inner), whole_numbers(n_outputs, n_inner)
    torch_products._has_onednn.cache_clear()
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", fail, raising=False)
    try:
        assert torch.equal(product(rows, weight), rows @ weight.T)
    finally:
        torch_products._has_onednn.cache_clear()


@pytest.mark.parametrize("n_steps", [0, 1, 7, 8, 9])
def test_blocks_hold_every_step_once(monkeypatch: pytest.MonkeyPatch, n_steps: int) -> None:
    monkeypatch.setattr(torch_products, "_BLOCK_CELLS", 40)
    found = blocks(n_steps, 10)
    assert [step for start, end in found for step in range(start, end)] == list(range(n_steps))
    assert all(end - start <= 4 for start, end in found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_events_of_any_dtype_are_the_same(dtype: torch.dtype) -> None:
    counts = torch.poisson(torch.full((2, 3, 20), 0.1), generator=torch.Generator().manual_seed(0))
    found, expected = list_events(counts.to(dtype)), list_events(counts)
    assert found is not None
    assert expected is not None
    assert torch.equal(found.channels, expected.channels)
    assert torch.equal(found.starts, expected.starts)


def test_events_are_listed_in_the_order_of_the_rows_whatever_the_order_in_memory() -> None:
    counts = torch.zeros(2, 3, 20)
    counts[0, 0, 4] = 1
    counts[0, 2, [1, 19]] = torch.tensor([3.0, 1.0])
    counts[1, 1, 0] = 2
    in_rows = list_events(counts)
    assert in_rows is not None
    assert in_rows.channels.tolist() == [4, 1, 1, 1, 19, 0, 0]
    assert in_rows.starts.tolist() == [0, 1, 1, 5, 5, 7]
    for turned in (counts.transpose(0, 1), counts.transpose(0, 1).contiguous()):
        events = list_events(turned)
        assert events is not None
        assert events.channels.tolist() == [4, 0, 0, 1, 1, 1, 19]
        assert events.starts.tolist() == [0, 1, 1, 1, 3, 7]


@pytest.mark.parametrize("last", [0.0, 2.0])
def test_events_of_a_part_of_a_tensor_are_its_own(last: float) -> None:
    counts = torch.zeros(4, 5, 30)
    counts[2, 3, 7], counts[3, 4, 28] = 1, last
    events = list_events(counts[2:, 3:, 5:29])
    assert events is not None
    assert events.channels.tolist() == [2] + [23] * int(last)
    assert list_events(counts[2:, 3:, 5:29:2]) is not None


@pytest.mark.parametrize("value", [-1.0, 0.5, torch.nan, torch.inf, 1e6])
def test_what_is_no_sparse_spike_count_has_no_events(value: float) -> None:
    x = torch.zeros(3, 10, 20)
    x[1, 2, 3] = value
    assert list_events(x) is None


def test_events_take_part_in_products_and_their_gradients() -> None:
    x = torch.zeros(1, 30, 40, dtype=torch.uint8)
    x[0, ::3, 5], x[0, 7, [0, 39]] = 1, 2
    events, weight, grads = list_events(x), whole_numbers(3, 40), whole_numbers(30, 3)
    assert events is not None
    assert torch.equal(sum_rows(events, weight), x[0].float() @ weight.T)
    assert torch.equal(weight_gradient(events, grads), grads.T @ x[0].float())


def test_channels_and_rows_that_need_more_than_32_bits_together_are_told_apart() -> None:
    n_rows, n_channels = 2**16, 2**16 + 9
    generator = torch.Generator().manual_seed(3)
    channels = torch.randint(n_channels, (n_rows,), dtype=torch.int32, generator=generator)
    events, grads = Events(channels, torch.arange(n_rows, dtype=torch.int32), n_channels), whole_numbers(n_rows, 2)
    expected = torch.zeros(n_channels, 2).index_add_(0, channels.long(), grads).T
    assert torch.equal(weight_gradient(events, grads), expected)


@pytest.mark.parametrize("loop", [1, 3])
@pytest.mark.parametrize("n_steps", [1, 3, 9])
@pytest.mark.parametrize("density", [0.1, 0.6])
@pytest.mark.parametrize("by_events", [False, True])
def test_the_gradient_of_recurrent_weights_sums_over_all_steps(
    monkeypatch: pytest.MonkeyPatch, by_events: bool, density: float, n_steps: int, loop: int
) -> None:
    monkeypatch.setattr(torch_products, "_BLOCK_CELLS", 5 * 6 * 2)
    if by_events:
        monkeypatch.setattr(torch_events, "_MIN_CELLS", 0)
        monkeypatch.setattr(torch_events, "_MIN_NEURONS", 0)
    membranes = (torch.rand(n_steps, 5, 6, generator=torch.Generator().manual_seed(1)) < density).float()
    grads = whole_numbers(n_steps, 5, 6)
    expected = torch.zeros(6, 6)
    for step in range(n_steps - loop):
        expected += grads[step + loop].T @ membranes[step]
    assert torch.equal(recurrent_weight_gradient(grads, membranes, 0.5, loop), expected)
