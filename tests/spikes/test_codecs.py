from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avalanche_snn.spikes import TimeCodec, make_codec, planes_for, rice_bytes

quick = settings(deadline=None, max_examples=60)


@st.composite
def latents_of(draw: st.DrawFn, max_count: int = 1) -> torch.Tensor:
    """Latents `[B, T, H]` from silent to full, their sizes and density drawn."""
    shape = (draw(st.integers(0, 5)), draw(st.integers(1, 23)), draw(st.integers(1, 23)))
    density = draw(st.sampled_from([0.0, 0.01, 0.1, 0.4, 1.0]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = generator.integers(1, max_count + 1, shape) * (generator.random(shape) < density)
    return torch.from_numpy(counts).float()


def codec_for(spec: str, latents: torch.Tensor, max_count: int = 1) -> TimeCodec:
    return make_codec(spec, latents.shape[1], latents.shape[2], max_count)


def windows(latents: torch.Tensor, window: int) -> list[torch.Tensor]:
    """Each window's `[B, W, H]`, the last maybe shorter."""
    return list(latents.split(window, dim=1))


def one_feature(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1)


# ---- worked out by hand


def test_bits_of_spikes_by_hand() -> None:
    # Time-major, first cell in the highest bit: 100 010 001 1 -> 1000 1000 | 1100 0000.
    latents = torch.tensor([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]])
    assert make_codec("bits", 4, 3).encode(latents).tolist() == [[0b10001000, 0b11000000]]


def test_bits_of_counts_by_hand() -> None:
    # 3 = 11, 2 = 10, 1 = 01, 0 = 00: their lowest bits are 1, 0, 1, 0, their highest 1, 1, 0, 0.
    codec = make_codec("bits", 4, 1, max_count=3)
    assert codec.encode(one_feature(3, 2, 1, 0)).tolist() == [[0b10101100]]
    assert codec.decode(torch.tensor([[0b10101100]], dtype=torch.uint8)).flatten().tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.float64])
@pytest.mark.parametrize(
    ("spec", "max_count"), [("bits", 1), ("bits", 9), ("rice", 1), ("rice", 9), ("any/3", 1), ("count/3", 9)]
)
def test_latents_are_restored_in_the_dtype_asked_for(spec: str, max_count: int, dtype: torch.dtype) -> None:
    latents = torch.from_numpy(np.random.default_rng(0).integers(0, max_count + 1, (4, 7, 5)))
    codec = make_codec(spec, 7, 5, max_count)
    packed = codec.encode(latents)
    assert codec.decode(packed, dtype).dtype == dtype
    assert torch.equal(codec.decode(packed, dtype), codec.decode(packed).to(dtype))


def test_a_dtype_that_cannot_hold_the_counts() -> None:
    codec = make_codec("count/4", 4, 2, max_count=100)
    packed = codec.encode(torch.zeros(1, 4, 2))
    with pytest.raises(ValueError, match=r"9 bit planes hold values up to 511, more than torch\.uint8 can"):
        codec.decode(packed, torch.uint8)


def test_rice_by_hand() -> None:
    # Spikes at cells 2, 3, 9 of 40: gaps 2, 0, 5. With k = 0: 001 1 000001, 10 bits; k = 1: 0 1 0, 1 0, 00 1 1, 9 bits;
    # k = 2: 1 10, 1 00, 0 1 01, 10 bits. So k = 1, one feature only, time-major: header 1 + 2.
    spikes = [1 if cell in (2, 3, 9) else 0 for cell in range(40)]
    codec = make_codec("rice", 40, 1)
    packed = codec.encode(one_feature(*spikes))
    assert packed.tolist() == [[3, 0b01010001, 0b10000000]]
    assert codec.row_bytes(packed).tolist() == [3]


def test_rice_reads_by_feature_where_that_is_shorter() -> None:
    # The last of three features spikes in the first 20 of 40 steps. By time: 20 gaps of 2, with k = 0 each 001 (with
    # k = 1 as long, 010; the lower k is taken), 60 bits. By feature: a gap of 80 and 19 of 0, at best 40 + 2 + 19 * 2
    # bits, with k = 1. Turned by 90 degrees it is the other way round: header 1 + order, then the same bits.
    by_time = torch.zeros(1, 40, 3)
    by_time[:, :20, 2] = 1
    code = [0b00100100, 0b10010010, 0b01001001, 0b00100100, 0b10010010, 0b01001001, 0b00100100, 0b10010000]
    assert make_codec("rice", 40, 3).encode(by_time).tolist() == [[1, *code]]
    assert make_codec("rice", 3, 40).encode(by_time.transpose(1, 2)).tolist() == [[2, *code]]


def test_rice_of_counts_by_hand() -> None:
    # Counts 1, 3, 2 at cells 2, 3, 9 of 40: gaps 2, 0, 5, as above best with k = 1: 0 1 0, 1 0, 00 1 1. Behind each gap
    # its count: 0, 110, 10. So 010 0, 10 110, 0011 10; header 1 + 2, and 128 for the counts.
    counts = one_feature(*(1 if cell == 2 else 3 if cell == 3 else 2 if cell == 9 else 0 for cell in range(40)))
    packed = make_codec("rice", 40, 1, max_count=3).encode(counts)
    assert packed.tolist() == [[128 + 3, 0b01001011, 0b00011100]]
    # Room for larger counts costs nothing, and what was coded without it is read with it.
    wider = make_codec("rice", 40, 1, max_count=200)
    assert torch.equal(wider.encode(counts), packed)
    assert torch.equal(wider.decode(packed), counts)
    with pytest.raises(ValueError, match="no 'rice' code"):
        make_codec("rice", 40, 1).decode(packed)


def test_rice_of_many_counts_falls_back_on_their_planes() -> None:
    counts = torch.randint(0, 8, (5, 20, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    codec = make_codec("rice", 20, 6, max_count=7)
    packed = codec.encode(counts)
    assert packed[:, 0].tolist() == [0] * 5
    assert packed.shape[1] == codec.max_row_bytes == 20 * 6 * 3 // 8 + 1
    assert torch.equal(codec.decode(packed, torch.uint8), counts)


def test_rice_falls_back_on_bits_by_hand() -> None:
    latents = one_feature(1, 0, 1, 1, 0, 1, 1, 1, 1, 0)
    assert make_codec("rice", 10, 1).encode(latents).tolist() == [[0, 0b10110111, 0b10000000]]


def test_any_by_hand() -> None:
    # Windows of three: 010 -> 1, 000 -> 0, 1 -> 1.
    codec = make_codec("any/3", 7, 1)
    packed = codec.encode(one_feature(0, 1, 0, 0, 0, 0, 1))
    assert packed.tolist() == [[0b10100000]]
    assert codec.decode(packed).flatten().tolist() == [1, 0, 0, 0, 0, 0, 1]


def test_any_in_the_middle_by_hand() -> None:
    # Windows 0-4, 5-9, and 10-11: the middles are 2, 7 and, the earlier of two, 10.
    codec = make_codec("any/5/middle", 12, 1)
    restored = codec.decode(codec.encode(torch.ones(1, 12, 1)))
    assert restored.flatten().nonzero().flatten().tolist() == [2, 7, 10]
    # Of the six steps 0-5 the middle is 2.
    assert make_codec("any/6/middle", 6, 1).decode(torch.tensor([[128]], dtype=torch.uint8)).argmax() == 2


def test_count_by_hand() -> None:
    # Windows of three hold 2, 0, 1 spikes: two bits each, lowest bits 001, then 100.
    codec = make_codec("count/3", 7, 1)
    packed = codec.encode(one_feature(0, 1, 1, 0, 0, 0, 1))
    assert packed.tolist() == [[0b00110000]]
    assert codec.decode(packed).flatten().tolist() == [2, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("spec", "max_count", "n_bytes"),
    [
        ("bits", 1, 1250),  # 100 x 100 cells
        ("bits", 5, 3750),  # three bits each
        ("rice", 1, 1251),
        ("rice", 5, 3751),
        ("any/10", 1, 125),
        ("any/10", 7, 125),
        ("any/30", 1, 50),  # four windows, the last of 10 steps
        ("count/10", 1, 500),  # 0..10: four bits
        ("count/100", 1, 88),  # 0..100: seven bits, 700 in all
        ("count/2", 3, 1875),  # 0..6: three bits
    ],
)
def test_max_row_bytes_by_hand(spec: str, max_count: int, n_bytes: int) -> None:
    assert make_codec(spec, 100, 100, max_count).max_row_bytes == n_bytes


# ---- laws


@quick
@given(st.data(), st.integers(1, 300))
def test_bits_is_lossless_in_as_few_bits_as_the_counts_need(data: st.DataObject, max_count: int) -> None:
    latents = data.draw(latents_of(max_count))
    codec = codec_for("bits", latents, max_count)
    packed = codec.encode(latents)
    n_cells = latents.shape[1] * latents.shape[2]
    assert codec.lossless
    assert packed.shape == (len(latents), -(-n_cells * planes_for(max_count) // 8))
    assert codec.row_bytes(packed).tolist() == [packed.shape[1]] * len(latents)
    assert torch.equal(codec.decode(packed), latents)


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from([1, 1, 2, 7, 255]))
def test_rice_is_lossless_and_never_larger_than_bits_and_a_byte(data: st.DataObject, max_count: int) -> None:
    latents = data.draw(latents_of(max_count))
    codec = codec_for("rice", latents, max_count)
    packed = codec.encode(latents)
    bound = codec_for("bits", latents, max_count).max_row_bytes + 1
    assert codec.lossless
    assert codec.max_row_bytes == bound
    assert packed.shape[1] <= bound
    assert torch.equal(codec.decode(packed), latents)
    # What it takes at most is known without coding it; zero bytes at the end of a row need not be kept.
    assert (rice_bytes(latents.to(torch.uint8)) >= codec.row_bytes(packed)).all()
    assert (rice_bytes(latents.to(torch.uint8)) <= bound).all()


@quick
@given(latents_of(), st.integers(0, 9))
def test_rice_rows_may_be_cut_to_their_bytes_and_padded_again(latents: torch.Tensor, n_zeros: int) -> None:
    codec = codec_for("rice", latents)
    packed = codec.encode(latents)
    row_bytes = codec.row_bytes(packed)
    assert row_bytes.dtype == torch.int64
    for sample, row, n_bytes in zip(latents, packed, row_bytes.tolist(), strict=True):
        assert not row[n_bytes:].any()
        padded = torch.nn.functional.pad(row[:n_bytes], (0, n_zeros))
        assert torch.equal(codec.decode(padded.unsqueeze(0))[0], sample)


@quick
@given(latents_of())
def test_rice_takes_fewer_bytes_for_few_spikes(latents: torch.Tensor) -> None:
    codec = codec_for("rice", latents)
    packed = codec.encode(latents)
    n_cells = latents.shape[1] * latents.shape[2]
    # With k the logarithm of the mean gap, a spike takes at most 2 + k bits and the gaps two more in all.
    for sample, n_bytes in zip(latents, codec.row_bytes(packed).tolist(), strict=True):
        n_spikes = int(sample.sum())
        k = (n_cells // max(n_spikes, 1)).bit_length()
        assert n_bytes <= 1 + -(-(n_spikes * (1 + k) + (n_cells >> k)) // 8)


@pytest.mark.parametrize("spec", ["bits", "rice", "any/4", "any/4/middle", "count/4"])
def test_a_batch_is_coded_as_its_rows_are(spec: str) -> None:
    generator = torch.Generator().manual_seed(0)
    # More rows than the rice code takes at once, each of its own density, some silent and some full.
    density = torch.linspace(-0.1, 1.1, 300).reshape(-1, 1, 1)
    latents = (torch.rand(300, 9, 11, generator=generator) < density).float()
    codec = codec_for(spec, latents)
    packed = codec.encode(latents)
    together = codec.decode(packed)
    for index, sample in enumerate(latents):
        alone = codec.encode(sample.unsqueeze(0))
        assert not packed[index, alone.shape[1] :].any()
        assert torch.equal(packed[index, : alone.shape[1]], alone[0])
        assert torch.equal(codec.decode(alone)[0], together[index])


@quick
@given(st.data(), st.integers(1, 4), st.booleans())
def test_any_keeps_which_windows_have_spikes(data: st.DataObject, max_count: int, middle: bool) -> None:
    latents = data.draw(latents_of(max_count))
    window = data.draw(st.integers(1, latents.shape[1]))
    codec = codec_for(f"any/{window}/middle" if middle else f"any/{window}", latents, max_count)
    restored = codec.decode(codec.encode(latents))
    for before, after in zip(windows(latents, window), windows(restored, window), strict=True):
        place = (after.shape[1] - 1) // 2 if middle else 0
        assert torch.equal(after[:, place], before.any(dim=1).float())
        assert torch.equal(after.sum(dim=1), after[:, place])
    assert torch.equal(codec.decode(codec.encode(restored)), restored)
    assert codec.lossless == (window == 1 and max_count == 1)
    assert not codec.lossless or torch.equal(restored, latents)


@quick
@given(st.data(), st.integers(1, 300))
def test_count_conserves_the_spikes_of_every_window(data: st.DataObject, max_count: int) -> None:
    latents = data.draw(latents_of(max_count))
    window = data.draw(st.integers(1, latents.shape[1]))
    codec = codec_for(f"count/{window}", latents, max_count)
    restored = codec.decode(codec.encode(latents))
    for before, after in zip(windows(latents, window), windows(restored, window), strict=True):
        assert torch.equal(after[:, 0], before.sum(dim=1))
        assert not after[:, 1:].any()
    assert codec.lossless == (window == 1)


@pytest.mark.parametrize("spec", ["bits", "rice", "any/4", "any/4/middle", "count/4"])
def test_no_samples(spec: str) -> None:
    codec = make_codec(spec, 9, 11)
    packed = codec.encode(torch.zeros(0, 9, 11))
    assert packed.dtype == torch.uint8
    assert len(packed) == 0
    assert codec.row_bytes(packed).shape == (0,)
    assert codec.decode(packed).shape == (0, 9, 11)


@pytest.mark.parametrize("spec", ["bits", "rice", "any/3", "count/3"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64])
def test_every_dtype_goes_in_and_float32_comes_out(spec: str, dtype: torch.dtype) -> None:
    spikes = torch.rand(4, 9, 11, generator=torch.Generator().manual_seed(0)) < 0.2
    codec = make_codec(spec, 9, 11)
    packed = codec.encode(spikes.to(dtype))
    assert torch.equal(packed, codec.encode(spikes.float()))
    assert codec.decode(packed).dtype == torch.float32


@pytest.mark.parametrize("spec", ["bits", "rice", "any/4/middle", "count/4"])
def test_codecs_can_be_pickled_and_say_what_they_are(spec: str) -> None:
    codec = pickle.loads(pickle.dumps(make_codec(spec, 9, 11)))
    assert repr(codec) == f"make_codec('{spec}', n_time_steps=9, n_features=11, max_count=1)"
    spikes = (torch.rand(4, 9, 11, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    assert torch.equal(codec.encode(spikes), make_codec(spec, 9, 11).encode(spikes))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("spec", ["bits", "rice", "any/4", "any/4/middle", "count/4"])
def test_cuda_codes_to_the_same_bytes(spec: str) -> None:
    spikes = (torch.rand(4, 9, 11, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    codec = make_codec(spec, 9, 11)
    packed = codec.encode(spikes.cuda())
    assert torch.equal(packed.cpu(), codec.encode(spikes))
    assert torch.equal(codec.decode(packed).cpu(), codec.decode(packed.cpu()))


# ---- errors


@pytest.mark.parametrize(
    "spec",
    [
        *("any", "any/", "any/0", "any/05", "any/-1", "any/2.5", "any/x", "any/2/last", "count", "count/x"),
        *("count/2/middle", "zip", "", "BITS", "bits ", "bits/2", "rice/2", None, 5, ("any", 5)),
    ],
)
def test_a_bad_spec_lists_what_is_allowed(spec: str) -> None:
    with pytest.raises(ValueError, match=r"No codec is called .*'bits'.*'rice'.*'any/W'.*'any/W/middle'.*'count/W'"):
        make_codec(spec, 10, 4)


@pytest.mark.parametrize("spec", ["any/11", "any/11/middle", "count/11"])
def test_a_window_longer_than_the_latents_is_an_error(spec: str) -> None:
    with pytest.raises(ValueError, match=r"windows of 11 time steps, but the latents have 10: '(any|count)/10' is the"):
        make_codec(spec, 10, 4)


@pytest.mark.parametrize("wrong", [{"n_time_steps": 0}, {"n_features": 0}, {"max_count": 0}])
def test_sizes_below_one_are_named(wrong: dict[str, int]) -> None:
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"{name} must be at least 1, but 0 came"):
        make_codec("bits", **{"n_time_steps": 10, "n_features": 4, **wrong})


def test_counts_too_large_for_24_bits_are_named() -> None:
    with pytest.raises(ValueError, match="but 20000000 came"):
        make_codec("count/100", 100, 4, max_count=200_000)


def test_rice_refuses_larger_counts() -> None:
    with pytest.raises(ValueError, match="counts up to 255, but max_count=256 came: use 'bits'"):
        make_codec("rice", 10, 4, max_count=256)
    with pytest.raises(ValueError, match=r"up to 1 were wanted, but 2 came\. Make the codec with a larger max_count"):
        make_codec("rice", 1, 1).encode(one_feature(2))


@pytest.mark.parametrize(("spec", "max_count"), [("bits", 1), ("bits", 2), ("bits", 5), ("count/1", 2)])
def test_values_above_max_count_are_named(spec: str, max_count: int) -> None:
    # 2 and 5 leave unused numbers in their bits: those are refused too.
    codec = make_codec(spec, 1, 1, max_count)
    with pytest.raises(ValueError, match=f"up to {max_count} were wanted, but {max_count + 1} came. .*max_count"):
        codec.encode(one_feature(max_count + 1))


@pytest.mark.parametrize("spec", ["bits", "rice", "any/1", "count/1"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, "must not be negative, but -1 came"),
        (0.25, "must be whole numbers, but 0.25 came"),
        (float("nan"), "must be whole numbers, but nan came"),
    ],
)
def test_values_that_are_no_counts_are_named(spec: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_codec(spec, 1, 1).encode(torch.tensor([[[value]]]))


@pytest.mark.parametrize("spec", ["bits", "rice", "any/2", "count/2"])
@pytest.mark.parametrize("shape", [(10, 4), (2, 4, 10), (2, 10, 5), (1, 2, 10, 4)])
def test_latents_of_another_shape_are_named(spec: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        make_codec(spec, 10, 4).encode(torch.zeros(shape))
    assert str(caught.value) == (f"Codec '{spec}' wants latents [B, 10, 4], but a tensor of shape {list(shape)} came.")


@pytest.mark.parametrize(
    ("spec", "packed", "message"),
    [
        ("bits", torch.zeros(2, 5), r"\[B, 10, 4\] wants uint8 \[B, 5\], but torch.float32 \[2, 5\] came"),
        ("bits", torch.zeros(2, 6, dtype=torch.uint8), r"wants uint8 \[B, 5\], but torch.uint8 \[2, 6\] came"),
        ("any/2", torch.zeros(2, 2, dtype=torch.uint8), r"wants uint8 \[B, 3\], but torch.uint8 \[2, 2\] came"),
        ("count/2", torch.zeros(5, dtype=torch.uint8), r"wants uint8 \[B, 5\], but torch.uint8 \[5\] came"),
        ("rice", torch.zeros(2, 0, dtype=torch.uint8), r"wants uint8 \[B, 1 or more\], but torch.uint8 \[2, 0\] came"),
        ("rice", torch.zeros(2, 3, dtype=torch.int64), r"wants uint8 \[B, 1 or more\], but torch.int64 \[2, 3\] came"),
    ],
)
def test_packed_rows_of_another_kind_are_named(spec: str, packed: torch.Tensor, message: str) -> None:
    codec = make_codec(spec, 10, 4)
    with pytest.raises(ValueError, match=message):
        codec.decode(packed)
    with pytest.raises(ValueError, match=message):
        codec.row_bytes(packed)


@pytest.mark.parametrize(
    "row",
    [
        [255, 1],  # a parameter that latents this small never have
        [1 + 2 * 5, 0b11111111],  # k = 5: the first spike stands at cell 31, the next one at cell 48 of 40
        [0, 0, 0, 0, 0, 0, 1],  # longer than five bytes and a header
    ],
)
def test_bytes_that_are_no_rice_code_are_refused(row: list[int]) -> None:
    with pytest.raises(ValueError, match="no 'rice' code of latents with 10 time steps and 4 features"):
        make_codec("rice", 10, 4).decode(torch.tensor([row], dtype=torch.uint8))
