from __future__ import annotations

import numpy as np
import pytest

from avalanche_snn.benchmarks.splits import split_samples

N_TRAIN_FILE = 1200
# 10 classes by 6 speakers, 20 samples each, then a test file of the same and of speakers 6 and 7.
TARGETS = np.concatenate([np.repeat(np.arange(10), 120), np.repeat(np.arange(10), 30)])
SPEAKERS = np.concatenate([np.tile(np.repeat(np.arange(6), 20), 10), np.tile(np.arange(6, 8), 150)])


def split(**options):
    return split_samples(TARGETS, SPEAKERS, N_TRAIN_FILE, **options)


@pytest.mark.parametrize("name", ["official", "merged"])
@pytest.mark.parametrize("validation", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("by", ["sample", "speaker"])
def test_every_sample_has_one_role(name, validation, by):
    roles = split(split=name, validation=validation, validation_by=by)
    everything = np.concatenate([roles.train, roles.valid, roles.test])
    assert sorted(everything) == list(range(1500))
    assert all(np.all(np.diff(ids) > 0) for ids in (roles.train, roles.valid, roles.test))


def test_official_split_keeps_the_files():
    roles = split()
    assert roles.train.tolist() == list(range(1200))
    assert roles.test.tolist() == list(range(1200, 1500))
    assert len(roles.valid) == 0


def test_merged_split_draws_four_fifths_of_both_files():
    roles = split(split="merged")
    assert len(roles.train) == 1200
    assert len(roles.test) == 300
    # 300 of the 1500 samples are from the test file: a fifth of them is expected in the test set, not all.
    assert 30 < np.count_nonzero(roles.test >= N_TRAIN_FILE) < 90
    assert set(SPEAKERS[roles.train]) == set(range(8))


def test_merged_split_follows_its_seed_alone():
    np.testing.assert_array_equal(split(split="merged").test, split(split="merged").test)
    assert not np.array_equal(split(split="merged").test, split(split="merged", split_seed=1).test)


@pytest.mark.parametrize("by", ["sample", "speaker"])
def test_validation_comes_out_of_the_training_samples(by):
    without = split(split="merged")
    with_validation = split(split="merged", validation=0.2, validation_by=by)
    np.testing.assert_array_equal(with_validation.test, without.test)
    assert set(with_validation.valid) < set(without.train)
    other = split(split="merged", split_seed=1, validation=0.2, validation_by=by)
    assert not np.array_equal(with_validation.valid, other.valid)


def test_validation_by_sample_takes_its_fraction_of_every_class_and_speaker():
    valid = split(validation=0.1).valid
    counts = np.zeros((10, 6), dtype=int)
    np.add.at(counts, (TARGETS[valid], SPEAKERS[valid]), 1)
    # 120 samples a class, 20 a class and speaker: a tenth is 12 and 2.
    np.testing.assert_array_equal(counts, np.full((10, 6), 2))


def test_validation_by_sample_is_spread_over_speakers_when_shares_are_not_whole():
    valid = split(validation=0.125).valid
    counts = np.zeros((10, 6), dtype=int)
    np.add.at(counts, (TARGETS[valid], SPEAKERS[valid]), 1)
    np.testing.assert_array_equal(counts.sum(axis=1), np.full(10, 15))
    assert set(np.unique(counts)) == {2, 3}


def test_a_tiny_fraction_still_holds_out_one_sample_of_every_class():
    assert sorted(TARGETS[split(validation=0.001).valid]) == list(range(10))


@pytest.mark.parametrize(("fraction", "n_speakers"), [(0.05, 1), (0.2, 1), (0.33, 2), (0.5, 3)])
def test_validation_by_speaker_holds_out_whole_speakers(fraction, n_speakers):
    roles = split(validation=fraction, validation_by="speaker")
    held_out = set(SPEAKERS[roles.valid])
    assert len(held_out) == n_speakers
    assert not held_out & set(SPEAKERS[roles.train])


def test_which_speakers_are_held_out_depends_on_the_split_seed():
    held_out = {
        tuple(np.unique(SPEAKERS[split(split_seed=seed, validation=0.2, validation_by="speaker").valid]))
        for seed in range(10)
    }
    assert len(held_out) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "random"}, "split must be 'official' or 'merged', not 'random'"),
        ({"validation_by": "class"}, "validation_by must be 'sample' or 'speaker', not 'class'"),
        ({"validation": 1.0}, "0 <= validation < 1, not 1.0"),
        ({"validation": -0.1}, "0 <= validation < 1, not -0.1"),
        ({"validation": float("nan")}, "0 <= validation < 1, not nan"),
        ({"split_seed": -1}, "split_seed must be 0 or more, not -1"),
        ({"validation": 0.999}, "would hold out all 120 training samples of class 0; take a smaller fraction"),
        ({"validation": 0.95, "validation_by": "speaker"}, "would hold out all 6 training speakers"),
    ],
)
def test_what_cannot_be_split_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        split(**options)
