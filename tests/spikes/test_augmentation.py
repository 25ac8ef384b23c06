from __future__ import annotations

import pickle

import pytest
import torch

from avalanche_snn.spikes import ChannelShift, EventDrop, TimeShift, TimeStretch

RASTER = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 0, 1]])
DTYPES = [
    torch.uint8,
    torch.bool,
    torch.int16,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]
CHANNELS = {
    -2: [[3, 4, 0, 0], [7, 8, 0, 0], [0, 1, 0, 0]],
    -1: [[2, 3, 4, 0], [6, 7, 8, 0], [0, 0, 1, 0]],
    0: RASTER.tolist(),
    1: [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 0, 0]],
    2: [[0, 0, 1, 2], [0, 0, 5, 6], [0, 0, 9, 0]],
}
STEPS = {
    -2: [[9, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]],
    -1: [[5, 6, 7, 8], [9, 0, 0, 1], [0, 0, 0, 0]],
    0: RASTER.tolist(),
    1: [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]],
    2: [[0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]],
}
TRANSFORMS = [
    *(ChannelShift(2), TimeShift(2), EventDrop(0.4), TimeStretch(0.3)),
    *(ChannelShift(0), TimeShift(9), ChannelShift(9), TimeStretch(0.5)),
]


def seeded(transform, rasters, seed=0):
    torch.manual_seed(seed)
    return transform(rasters)


def spikes(*shape, largest=3):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, largest + 1, shape, generator=generator)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("transform", "worked_out"), [(ChannelShift(2), CHANNELS), (TimeShift(2), STEPS)])
def test_each_sample_is_shifted_by_a_draw_of_its_own(transform, worked_out, dtype):
    batch = RASTER.to(dtype).expand(60, -1, -1)
    torch.manual_seed(0)
    draws = torch.randint(-2, 3, (60,)).tolist()
    assert set(draws) == set(worked_out)
    expected = torch.stack([torch.tensor(worked_out[draw]) for draw in draws]).to(dtype)

    shifted = seeded(transform, batch)

    assert shifted.dtype == dtype
    assert torch.equal(shifted, expected)
    assert torch.equal(batch[0], RASTER.to(dtype))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_a_batch_is_what_its_samples_are_one_after_the_other(transform):
    batch = spikes(20, 6, 5).float()
    torch.manual_seed(0)
    one_by_one = torch.stack([transform(raster) for raster in batch])
    state = torch.get_rng_state()

    assert torch.equal(seeded(transform, batch), one_by_one)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(seeded(transform, batch.transpose(1, 2).contiguous().transpose(1, 2)), one_by_one)


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_sample_is_played_at_a_pace_of_its_own(dtype):
    """Against the definition, spike by spike."""
    batch = (spikes(40, 30, 3) * (spikes(40, 30, 3) == 1)).to(dtype)
    torch.manual_seed(0)
    factors = 1 + 0.4 * (2 * torch.rand(40, dtype=torch.float64) - 1)
    assert factors.min() < 0.7
    assert factors.max() > 1.3
    expected = torch.zeros(40, 30, 3)
    for sample, factor in enumerate(factors.tolist()):
        for step in range(30):
            target = int((step + 0.5) * factor)
            if target < 30:
                expected[sample, target] += batch[sample, step].float()
    stretched = seeded(TimeStretch(0.4), batch)
    assert stretched.dtype == dtype
    assert torch.equal(stretched, expected.to(dtype))


def test_a_pace_changes_what_it_should_and_no_more():
    batch = spikes(50, 40, 4)
    assert torch.equal(TimeStretch(0)(batch), batch)
    stretched = seeded(TimeStretch(0.5), batch)
    torch.manual_seed(0)
    faster = torch.rand(50, dtype=torch.float64) < 0.5
    assert torch.equal(stretched[faster].sum((1, 2)), batch[faster].sum((1, 2))), "nothing leaves a word that is short"
    full = torch.full((60, 20, 2), 200, dtype=torch.uint8)
    assert seeded(TimeStretch(0.5), full).unique().tolist() == [0, 200, 255]


def test_events_are_lost_one_by_one():
    raster = torch.tensor([[0, 3, 0], [1, 0, 2]])
    torch.manual_seed(0)
    lost = torch.rand(6) < 0.5
    of_cell = lost.split([3, 1, 2])
    expected = raster - torch.tensor([[0, of_cell[0].sum(), 0], [of_cell[1].sum(), 0, of_cell[2].sum()]])
    assert 0 < lost.sum() < 6
    for dtype in (torch.uint8, torch.int64, torch.float32, torch.bfloat16):
        dropped = seeded(EventDrop(0.5), raster.to(dtype))
        assert dropped.dtype == dtype
        assert torch.equal(dropped, expected.to(dtype))
    binary = raster.bool()
    torch.manual_seed(0)
    lost = torch.rand(3) < 0.5
    assert torch.equal(seeded(EventDrop(0.5), binary)[binary], ~lost)


def test_the_share_of_events_that_are_lost():
    batch = spikes(50, 20, 20, largest=5)
    assert torch.equal(EventDrop(0)(batch), batch)
    assert EventDrop(1)(batch).sum() == 0
    kept = seeded(EventDrop(0.3), batch)
    assert (kept <= batch).all()
    # 50 000 events: four standard deviations of the share are 0.008.
    assert 1 - kept.sum() / batch.sum() == pytest.approx(0.3, abs=0.008)


def test_shifts_are_drawn_evenly():
    batch = torch.zeros(4000, 7, 7, dtype=torch.uint8)
    batch[:, 3, 3] = 1
    for transform, dim in ((ChannelShift(2), 1), (TimeShift(2), 2)):
        places = seeded(transform, batch).sum(dim).argmax(1)
        counts = torch.bincount(places, minlength=7)
        assert counts[[0, 6]].tolist() == [0, 0]
        assert counts[1:6].tolist() == pytest.approx([800] * 5, abs=4 * 800**0.5)


def test_empty_rasters():
    for transform in TRANSFORMS:
        for shape in ((0, 4, 3), (2, 0, 3), (2, 4, 0), (0, 3)):
            assert transform(torch.zeros(shape)).shape == shape


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_pickles_draw_the_same(transform):
    batch = spikes(5, 6, 5)
    assert torch.equal(seeded(pickle.loads(pickle.dumps(transform)), batch), seeded(transform, batch))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ChannelShift(-1), ValueError, "max_channels: a whole number from 0 was wanted, -1 came"),
        (lambda: TimeShift(1.5), TypeError, "max_steps: a whole number from 0 was wanted, 1.5 came"),
        (lambda: TimeShift(True), TypeError, "max_steps"),
        (lambda: EventDrop(1.1), ValueError, "share: a number from 0 to 1 was wanted, 1.1 came"),
        (lambda: EventDrop("0.1"), TypeError, "share"),
        (lambda: ChannelShift(1)(torch.zeros(4)), ValueError, r"\[T, C\] .* but the shape \[4\] came"),
        (lambda: EventDrop(0.1)(torch.full((2, 2), 0.5)), ValueError, "spikes or spike counts were wanted"),
        (lambda: EventDrop(0.1)(torch.full((2, 2), -1)), ValueError, "spikes or spike counts were wanted"),
    ],
)
def test_what_makes_no_sense_is_said(make, error, message):
    with pytest.raises(error, match=message):
        make()
