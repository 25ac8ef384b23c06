from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from avalanche_snn.spikes import is_packed_batch, pack, planes_for, unpack

quick = settings(deadline=None, max_examples=60)


@st.composite
def latents_and_planes(draw: st.DrawFn) -> tuple[torch.Tensor, int]:
    n_planes = draw(st.integers(1, 24))
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=4, max_side=19))
    values = draw(arrays.arrays(np.int64, shape, elements=st.integers(0, 2**n_planes - 1)))
    return torch.from_numpy(values).float(), n_planes


def test_spikes_by_hand() -> None:
    # Features 0, 3, 7 of the first byte: 1001 0001 = 145. Feature 9 is the second of the next byte: 0100 0000 = 64.
    latents = torch.zeros(1, 10)
    latents[0, [0, 3, 7, 9]] = 1
    assert pack(latents).tolist() == [[[145], [64]]]


def test_counts_by_hand() -> None:
    # 5 = 101, 2 = 010, 7 = 111: lowest bits 1, 0, 1 -> 1010 0000 = 160; then 0, 1, 1 -> 96; then 1, 0, 1 -> 160.
    assert pack(torch.tensor([[5, 2, 7]]), n_planes=3).tolist() == [[[160, 96, 160]]]


def test_more_than_eight_planes_by_hand() -> None:
    # 256 + 1: planes 0 and 8 hold the one feature in the highest bit of their byte.
    packed = pack(torch.tensor([[257]]), n_planes=9)
    assert packed.tolist() == [[[128, 0, 0, 0, 0, 0, 0, 0, 128]]]
    assert unpack(packed, 1).tolist() == [[257.0]]


@quick
@given(latents_and_planes())
def test_round_trip(drawn: tuple[torch.Tensor, int]) -> None:
    latents, n_planes = drawn
    packed = pack(latents, n_planes)
    assert packed.dtype == torch.uint8
    assert packed.shape == (*latents.shape[:-1], -(-latents.shape[-1] // 8), n_planes)
    assert torch.equal(unpack(packed, latents.shape[-1]), latents)


@quick
@given(latents_and_planes())
def test_every_plane_equals_numpy_packbits(drawn: tuple[torch.Tensor, int]) -> None:
    latents, n_planes = drawn
    packed = pack(latents, n_planes).numpy()
    for plane in range(n_planes):
        expected = np.packbits((latents.numpy().astype(np.int64) >> plane) & 1, axis=-1)
        assert np.array_equal(packed[..., plane], expected)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float64]
)
def test_every_dtype_goes_in_and_comes_out(dtype: torch.dtype) -> None:
    latents = (torch.arange(60).reshape(2, 3, 10) % 3 == 0).to(dtype)
    restored = unpack(pack(latents), 10, dtype)
    assert restored.dtype == dtype
    assert torch.equal(restored, latents)


@pytest.mark.parametrize("shape", [(0, 5, 9), (2, 0, 9)])
def test_no_sample_and_no_time_step(shape: tuple[int, ...]) -> None:
    packed = pack(torch.zeros(shape), n_planes=2)
    assert packed.shape == (*shape[:-1], 2, 2)
    assert unpack(packed, 9).shape == shape


def test_latents_with_a_gradient_are_packed_without_it() -> None:
    assert pack(torch.ones(1, 8, requires_grad=True)).tolist() == [[[255]]]


def test_strided_views_are_packed_as_they_read() -> None:
    rasters = (torch.rand(6, 9, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    turned = rasters.permute(2, 1, 0)
    packed = pack(turned)
    assert torch.equal(unpack(packed, 6), turned)
    assert torch.equal(unpack(packed[::2, 1:], 6), turned[::2, 1:])


def test_batches_tell_what_they_are() -> None:
    rasters = torch.zeros(2, 5, 12, dtype=torch.uint8)
    assert not is_packed_batch(rasters)
    assert not is_packed_batch(rasters.float().unsqueeze(-1))
    assert is_packed_batch(pack(rasters))


@pytest.mark.parametrize(("max_count", "expected"), [(1, 1), (2, 2), (3, 2), (4, 3), (255, 8), (256, 9)])
def test_planes_for(max_count: int, expected: int) -> None:
    assert planes_for(max_count) == expected


@pytest.mark.parametrize(
    ("latents", "n_planes", "message"),
    [
        (torch.tensor([[0.0, -1.0]]), 1, "must not be negative, but -1 came"),
        (torch.tensor([[0.0, 0.5]]), 1, "must be whole numbers, but 0.5 came"),
        (torch.tensor([[0.0, float("nan")]]), 1, "must be whole numbers, but nan came"),
        (torch.tensor([[0.0, float("inf")]]), 1, "but inf came"),
        (torch.tensor([[0.0, 2.0]]), 1, "up to 1 were wanted, but 2 came.*more planes than n_planes=1"),
        (torch.tensor([[300]]), 8, "up to 255 were wanted, but 300 came"),
        (torch.ones(1, 1, dtype=torch.complex64), 1, "must be real numbers, but torch.complex64 came"),
        (torch.zeros(3), 1, r"wants latents \[..., T, H\], but a tensor of shape \[3\] came"),
        (torch.zeros(1, 1), 0, "n_planes must lie between 1 and 24, but 0 came"),
        (torch.zeros(1, 1), 25, "n_planes must lie between 1 and 24, but 25 came"),
    ],
)
def test_pack_names_what_is_wrong(latents: torch.Tensor, n_planes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack(latents, n_planes)


@pytest.mark.parametrize(
    ("packed", "dtype", "message"),
    [
        (torch.zeros(4, 2, 1), torch.float32, r"wants uint8 \[..., T, 2, P\] for 9 features, but torch.float32"),
        (torch.zeros(4, 3, 1, dtype=torch.uint8), torch.float32, r"but torch.uint8 \[4, 3, 1\] came"),
        (torch.zeros(4, 2, dtype=torch.uint8), torch.float32, r"but torch.uint8 \[4, 2\] came"),
        (torch.zeros(4, 2, 0, dtype=torch.uint8), torch.float32, r"but torch.uint8 \[4, 2, 0\] came"),
        (torch.zeros(4, 2, 2, dtype=torch.uint8), torch.bool, "values up to 3, more than torch.bool can"),
        (torch.zeros(4, 2, 8, dtype=torch.uint8), torch.int8, "values up to 255, more than torch.int8 can"),
        (torch.zeros(4, 2, 9, dtype=torch.uint8), torch.bfloat16, "values up to 511, more than torch.bfloat16 can"),
    ],
)
def test_unpack_names_what_is_wrong(packed: torch.Tensor, dtype: torch.dtype, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack(packed, 9, dtype)


@pytest.mark.parametrize("max_count", [0, 2**24])
def test_planes_for_names_what_is_wrong(max_count: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and .* but {max_count} came"):
        planes_for(max_count)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_packs_to_the_same_bytes() -> None:
    latents = torch.randint(0, 300, (3, 5, 21), generator=torch.Generator().manual_seed(0))
    packed = pack(latents.cuda(), 9)
    assert torch.equal(packed.cpu(), pack(latents, 9))
    assert torch.equal(unpack(packed, 21).cpu(), latents.float())
