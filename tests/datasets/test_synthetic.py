from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from small_shd import CLASS_NAMES

from avalanche_snn.datasets import SyntheticSpokenDigits
from avalanche_snn.datasets.phonemes import PHONEMES, WORDS
from avalanche_snn.datasets.synthetic_speech import RawRandom, make_speakers, speak, unit_of


@pytest.fixture(scope="module")
def root(generated_words: Path) -> Path:
    return generated_words


def both(root: Path, **options: Any) -> tuple[SyntheticSpokenDigits, SyntheticSpokenDigits]:
    options = {"n_samples_per_class": 24} | options
    return SyntheticSpokenDigits(root, **options), SyntheticSpokenDigits(root, train=False, **options)


def rows(dataset: SyntheticSpokenDigits) -> set[bytes]:
    return {raster.tobytes() for raster in dataset.rasters}


def test_it_is_shaped_like_shd_and_never_called_that(root: Path) -> None:
    train, test = both(root)

    assert train.name == test.name == "SyntheticSpokenDigits"
    assert (train.split, test.split) == ("train", "test")
    assert train.class_names == test.class_names == CLASS_NAMES.split()
    for dataset in (train, test):
        raster, target = dataset[5]
        assert (raster.dtype, raster.shape, target) == (torch.float32, (100, 700), dataset.targets[5])
        assert repr(dataset).startswith("SyntheticSpokenDigits(")
    assert train.sha256 != test.sha256


def test_the_test_split_holds_two_speakers_whole_and_a_twentieth_of_the_others(root: Path) -> None:
    train, test = both(root)

    assert np.bincount(test.speakers).tolist() == [2, 2, 2, 2, 40, 40, 2, 2, 2, 2, 2, 2]
    assert np.bincount(train.speakers, minlength=12).tolist() == [38, 38, 38, 38, 0, 0, 38, 38, 38, 38, 38, 38]
    assert (np.bincount(train.targets) + np.bincount(test.targets)).tolist() == [24] * 20
    assert len(rows(train)) == len(train) == 380
    assert len(rows(test)) == len(test) == 100
    assert not rows(train) & rows(test)


def test_it_is_generated_alike_again(root: Path, tmp_path: Path) -> None:
    train, test = both(root)
    # The test split first, alone, with other bins: no utterance depends on what was generated before it.
    again = SyntheticSpokenDigits(tmp_path, train=False, n_samples_per_class=24, n_time_steps=50, n_channels=70)

    assert again.sha256 == test.sha256
    grouped = test.rasters.reshape(100, 50, 2, 70, 10).sum(axis=(2, 4))
    np.testing.assert_array_equal(again.rasters, grouped)
    assert (again.targets, again.speakers.tolist()) == (test.targets, test.speakers.tolist())
    assert train.sha256 == "30252f95becd4c6bc7869dd2cb51abcaf2e68a268401ed436304d16feca8912d", (
        "What is generated has changed, or this platform differs. If the change is meant, raise _GENERATION in "
        "synthetic.py, so that nobody goes on with the rasters of before, and put the new digest here."
    )


def test_more_samples_contain_the_fewer(root: Path, tmp_path: Path) -> None:
    few, _ = both(tmp_path, n_samples_per_class=12)
    more, _ = both(root)

    assert rows(few) < rows(more)


def test_another_seed_speaks_otherwise(root: Path, tmp_path: Path) -> None:
    one, _ = both(root)
    other, _ = both(tmp_path, seed=1)

    assert one.sha256 != other.sha256
    assert not rows(one) & rows(other)
    assert one.targets == other.targets


def test_statistics_are_those_of_shd(root: Path) -> None:
    train, _ = both(root)
    sounding = train.rasters.any(axis=2)
    ends_ms = 14 * (100 - sounding[:, ::-1].argmax(axis=1))

    assert 0.06 < (train.rasters > 0).mean() < 0.09, "7.6 % of the cells of SHD"
    assert 5000 < train.rasters.sum(axis=(1, 2)).mean() < 10_000, "8200 spikes a sample in SHD"
    assert 500 < ends_ms.mean() < 800, "0.7 s a word in SHD"
    assert ends_ms.max() <= 1400
    assert train.n_empty_samples == train.n_dropped_events == 0


def test_late_events_are_dropped_and_counted(root: Path, tmp_path: Path) -> None:
    whole, _ = both(root)
    cut, _ = both(tmp_path, n_time_steps=30, duration_ms=420.0)

    assert cut.n_dropped_events == int(whole.rasters.sum()) - int(cut.rasters.sum()) > 0
    np.testing.assert_array_equal(cut.rasters, whole.rasters[:, :30])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_samples_per_class": 6}, ValueError, "a multiple of 12 was wanted, .* 6 came"),
        ({"n_samples_per_class": 30}, ValueError, "a multiple of 12 was wanted, .* 30 came"),
        ({"n_samples_per_class": 24.0}, TypeError, "n_samples_per_class: a whole number was wanted, 24.0 came"),
        ({"seed": -1}, ValueError, "seed: a number from 0 was wanted, -1 came"),
        ({"seed": "zero"}, TypeError, "seed: a whole number was wanted, 'zero' came"),
        ({"n_channels": 300}, ValueError, "n_channels must divide the 700 units"),
    ],
)
def test_wrong_parameters(tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SyntheticSpokenDigits(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_words_are_made_of_known_phonemes_and_all_of_them() -> None:
    assert {phoneme for word in WORDS.values() for phoneme in word} == set(PHONEMES)
    assert len(set(WORDS.values())) == len(WORDS) == 20


def test_units_follow_greenwoods_map() -> None:
    # 165.4 (10^(2.1 x) - 0.88) Hz at x = 1/3, 2/3 and 1 of the way from unit 0 to unit 699.
    assert unit_of([20.0, 683.4, 4009.1, 20_676.8]).tolist() == [0, 233, 466, 699]
    assert unit_of([0.0, 50_000.0]).tolist() == [0, 699]


def test_random_numbers_are_the_raw_bits_of_pcg64() -> None:
    raw = np.random.PCG64(np.random.SeedSequence((3, 1))).random_raw(3)

    assert RawRandom(3, 1).integers_16(6).tolist() == [int(raw[0]) >> s & 0xFFFF for s in (0, 16, 32, 48)] + [
        int(raw[1]) & 0xFFFF,
        int(raw[1]) >> 16 & 0xFFFF,
    ]
    np.testing.assert_array_equal(RawRandom(3, 1).uniform(0.0, 2.0, 3), 2.0 * (raw >> np.uint64(11)) / 2.0**53)
    factors = RawRandom(5).factors(1.5, 10_000)
    assert 1 / 1.5 <= factors.min() < 0.67 < 1.49 < factors.max() <= 1.5
    assert abs(np.log(factors).mean()) < 0.01


def spoken(word: tuple[str, ...], speaker: int, n: int = 20) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Mean number of spikes of each unit, and last spike times in ms, over utterances."""
    utterances = [speak(word, make_speakers(0)[speaker], RawRandom(9, number)) for number in range(n)]
    counts = np.mean([np.bincount(units, minlength=700) for _, units in utterances], axis=0)
    return counts, np.array([times_ms[-1] for times_ms, _ in utterances])


def test_events_are_sorted_and_within_bounds() -> None:
    times_ms, units = speak(WORDS["seven"], make_speakers(0)[6], RawRandom(0))

    assert (np.diff(times_ms) >= 0).all()
    assert times_ms.min() >= 0
    assert times_ms.max() < 1400
    assert units.min() >= 0
    assert units.max() <= 699
    assert len(set(zip(times_ms // 4, units, strict=True))) == len(units), "at most one spike a unit in 4 ms"


def test_an_s_is_heard_high_and_a_vowel_is_not() -> None:
    high = slice(int(unit_of(4500.0)), int(unit_of(8500.0)))
    six, _ = spoken(WORDS["six"], 0)
    nine, _ = spoken(WORDS["nine"], 0)

    assert six[high].sum() > 5 * nine[high].sum()


def test_the_first_two_formants_are_where_they_belong() -> None:
    counts, _ = spoken(("i",), 8, n=60)  # this speaker's formant scale is 1.01
    # Between the fundamental's harmonics and the first gap, and between that and the third formant.
    first = 130 + counts[130:250].argmax()
    second = 300 + counts[300:410].argmax()

    assert abs(first - int(unit_of(270.0))) < 30
    assert abs(second - int(unit_of(2290.0))) < 30


def test_shorter_tracts_speak_higher() -> None:
    centres = [
        (counts[300:] * np.arange(300, 700)).sum() / counts[300:].sum()
        for counts, _ in (spoken(("i",), speaker, n=40) for speaker in (0, 8, 11))
    ]

    assert all(low + 5 < high for low, high in pairwise(centres)), "formant scales 0.89, 1.01, 1.19"


def test_faster_speakers_are_done_sooner() -> None:
    slow, fast = (spoken(WORDS["sieben"], speaker, n=40)[1].mean() for speaker in (6, 7))

    assert 1.2 < slow / fast < 1.5, "tempos 0.84 and 1.16"


@pytest.mark.slow
def test_it_is_neither_trivial_nor_too_hard(tmp_path: Path) -> None:
    train, test = SyntheticSpokenDigits(tmp_path), SyntheticSpokenDigits(tmp_path, train=False)
    targets = torch.tensor(train.targets)
    test_targets = torch.tensor(test.targets)

    centroids = torch.stack([train.rasters_of(torch.where(targets == k)[0]).mean(0).flatten() for k in range(20)])
    distances = torch.cdist(test.rasters_of(range(len(test))).flatten(1), centroids)
    assert (distances.argmin(1) == test_targets).float().mean() < 0.85

    def grouped(dataset: SyntheticSpokenDigits) -> torch.Tensor:
        return torch.cat(
            [dataset.rasters_of(chunk).unflatten(2, (70, 10)).sum(3) for chunk in torch.arange(len(dataset)).split(256)]
        )

    inputs, test_inputs = grouped(train), grouped(test)
    counts, test_counts = (
        torch.nn.functional.pad(values.sum(1), (1, 0), value=1.0) for values in (inputs, test_inputs)
    )
    ridge = 10.0 * torch.eye(71)
    weights = torch.linalg.solve(counts.T @ counts + ridge, counts.T @ torch.nn.functional.one_hot(targets, 20).float())
    assert ((test_counts @ weights).argmax(1) == test_targets).float().mean() < 0.85

    torch.manual_seed(0)
    recurrent, readout = torch.nn.GRU(70, 96, batch_first=True), torch.nn.Linear(96, 20)
    optimizer = torch.optim.Adam([*recurrent.parameters(), *readout.parameters()], lr=3e-3)
    for _ in range(8):
        for batch in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            logits = readout(recurrent(inputs[batch])[0].mean(1))
            torch.nn.functional.cross_entropy(logits, targets[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = (readout(recurrent(test_inputs)[0].mean(1)).argmax(1) == test_targets).float().mean()
    assert accuracy > 0.93
