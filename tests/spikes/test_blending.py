"""Blends of two rasters of a class."""

from __future__ import annotations

import pytest
import torch

from avalanche_snn.spikes import blend_same_class

DTYPES = [torch.uint8, torch.bool, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.float32]


def full_of_their_places(n_samples, n_steps=6, n_channels=5):
    """Rasters that say in every cell whose they are; their centres are the same, so that nothing is shifted."""
    return torch.arange(1, n_samples + 1).reshape(-1, 1, 1).repeat(1, n_steps, n_channels)


def sources_of(blended):
    return [set(raster.unique().tolist()) for raster in blended]


def counts(*shape):
    return torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(1))


def test_everyone_is_the_partner_of_exactly_one_of_the_class():
    labels = torch.tensor([7, 2, 7, 7, 2, 5, 7, 7])
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        sources = sources_of(blend_same_class(full_of_their_places(8), labels, share=1))
        assert sources[5] == {6}, "alone with its class"
        partners = {place: (source - {place + 1}).pop() - 1 for place, source in enumerate(sources) if place != 5}
        assert all(labels[place] == labels[partner] for place, partner in partners.items())
        ring = [0]
        while partners[ring[-1]] != 0:
            ring.append(partners[ring[-1]])
        assert sorted(ring) == [0, 2, 3, 6, 7], "one ring goes through the whole class"
        seen.add(tuple(ring))
    assert len(seen) > 5, "the order in the class is drawn"


def test_the_partner_is_shifted_to_the_centre_of_mass():
    """Worked out: spikes at 1, 2, 2, 3 have the centre 2; a partner with its spikes at 5, 6 and 7 goes 4 steps back."""
    one, other = torch.zeros(10, 2), torch.zeros(10, 2)
    one[1, 0], one[2, 0], one[3, 0] = 1, 2, 1
    other[5:8, 1] = 1
    shifted_other = torch.zeros(10, 2)
    shifted_other[1:4, 1] = 1
    shifted_one = torch.zeros(10, 2)
    shifted_one[5, 0], shifted_one[6, 0], shifted_one[7, 0] = 1, 2, 1
    torch.manual_seed(0)
    both = torch.stack([blend_same_class(torch.stack([one, other]), torch.tensor([0, 0]), 1) for _ in range(200)])
    for blends, own, partner in ((both[:, 0], one, shifted_other), (both[:, 1], other, shifted_one)):
        # Where the two differ, each of them is what comes out about half of the time, and nothing else ever does.
        assert ((blends == own) | (blends == partner)).all()
        from_partner = (blends == partner).float().mean(0)[own != partner]
        # Of 200 fair coins, five standard deviations are 0.18.
        assert from_partner.tolist() == pytest.approx([0.5] * len(from_partner), abs=0.18)


def test_shifts_are_whole_steps_and_what_leaves_is_lost():
    early, late = torch.zeros(6, 1, dtype=torch.uint8), torch.zeros(6, 1, dtype=torch.uint8)
    early[0] = 1
    # The centre is (2 * 1 + 3 * 2 + 5 * 3) / 6 = 3.83: four steps back, where step 5 comes to 1 and the others leave.
    late[2], late[3], late[5] = 1, 2, 3
    torch.manual_seed(0)
    blends = [blend_same_class(torch.stack([early, late]), torch.tensor([0, 0]), 1)[0] for _ in range(100)]
    assert {tuple(blend.flatten().tolist()) for blend in blends} == {
        (first, second, 0, 0, 0, 0) for first in (0, 1) for second in (0, 3)
    }


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_samples_that_are_blended(share):
    torch.manual_seed(0)
    sources = sources_of(blend_same_class(full_of_their_places(2000), torch.arange(2000) % 10, share))
    # Five standard deviations of 2000 coins are 0.05; one blend in a billion is all its own.
    assert sum(len(source) == 2 for source in sources) / 2000 == pytest.approx(share, abs=0.051 * (0 < share < 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_are_kept_and_make_no_difference(dtype):
    rasters = counts(12, 9, 4).clamp(max=1 if dtype == torch.bool else 3)
    labels = torch.arange(12) % 3
    torch.manual_seed(5)
    expected = blend_same_class(rasters, labels)
    given = rasters.to(dtype)
    torch.manual_seed(5)
    blended = blend_same_class(given, labels)
    assert blended.dtype == dtype
    assert torch.equal(blended, expected.to(dtype))
    assert not torch.equal(blended, given)
    assert torch.equal(given, rasters.to(dtype)), "what was given stays as it is"


def test_against_the_definition_step_by_step():
    rasters, labels = counts(40, 15, 3), torch.arange(40) % 7
    rasters[:, :, 1:] *= counts(40, 15, 1) > 2
    torch.manual_seed(3)
    blended = blend_same_class(rasters, labels, 0.6)
    torch.manual_seed(3)
    order = sorted(torch.randperm(40).tolist(), key=lambda place: int(labels[place]))
    chosen = [place for place, coin in enumerate(torch.rand(40).tolist()) if coin < 0.6]
    coins = torch.rand(len(chosen), 15, 3) < 0.5
    for number, place in enumerate(chosen):
        of_class = [other for other in order if labels[other] == labels[place]]
        partner = rasters[of_class[(of_class.index(place) + 1) % len(of_class)]]
        centres = [
            sum(step * int(raster[step].sum()) for step in range(15)) / int(raster.sum())
            for raster in (rasters[place], partner)
        ]
        shift = round(centres[0] - centres[1])
        for step in range(15):
            source = partner[step - shift] if 0 <= step - shift < 15 else torch.zeros(3, dtype=torch.int64)
            expected = torch.where(coins[number, step], source, rasters[place, step])
            assert torch.equal(blended[place, step], expected)
    others = [place for place in range(40) if place not in chosen]
    assert torch.equal(blended[others], rasters[others])


def test_silent_rasters_have_no_centre_and_shift_nothing():
    rasters = torch.zeros(2, 5, 3)
    rasters[1, 4] = 1
    torch.manual_seed(0)
    blends = torch.stack([blend_same_class(rasters, torch.zeros(2), 1) for _ in range(50)])
    assert blends[:, :, :4].sum() == 0
    assert blends[:, 0, 4].unique().tolist() == blends[:, 1, 4].unique().tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 0, 3), (2, 4, 0)])
def test_empty_rasters(shape):
    assert blend_same_class(torch.zeros(shape), torch.zeros(shape[0]), 1).shape == shape


def test_other_shapes_and_shares_are_refused():
    rasters, labels = torch.zeros(2, 4, 3), torch.zeros(2)
    with pytest.raises(ValueError, match=r"but the shapes \[4, 3\] and \[2\] came"):
        blend_same_class(rasters[0], labels)
    with pytest.raises(ValueError, match=r"but the shapes \[2, 4, 3\] and \[3\] came"):
        blend_same_class(rasters, torch.zeros(3))
    with pytest.raises(ValueError, match=r"share: a number from 0 to 1 was wanted, 1\.5 came"):
        blend_same_class(rasters, labels, 1.5)
    with pytest.raises(TypeError, match="share: a number from 0 to 1 was wanted, 'half' came"):
        blend_same_class(rasters, labels, "half")
