"""Spoken digits made by code: a stand-in for recordings where there are none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from avalanche_snn.datasets.binned_events import Binning, write_rasters
from avalanche_snn.datasets.locations import dataset_root
from avalanche_snn.datasets.phonemes import WORDS
from avalanche_snn.datasets.raster_cache import RasterSummary, RasterWriter, open_or_build, user_cache_folder
from avalanche_snn.datasets.rasters import RasterDataset
from avalanche_snn.datasets.synthetic_speech import N_SPEAKERS, RawRandom, make_speakers, speak

_NAME = "SyntheticSpokenDigits"
# Raised with every change of what is generated: rasters of an older generation are not used.
_GENERATION = 1
_UNSEEN_SPEAKERS = (4, 5)


class SyntheticSpokenDigits(RasterDataset):
    """Digits spoken by a program, not by people: to try things out on, and never to be reported as SHD.

    The same shape as `SHD`: the English digits are classes 0-9, the German ones 10-19, twelve speakers, 700 units, and
    a test split that holds all of speakers 4 and 5 and 5 % of every other. Words are sequences of phonemes, phonemes
    are tracks of formants and noise, speakers differ in pitch, tract length, tempo and accent, and 700 tonotopic units
    spike at random. Generated in seconds, the same everywhere for the same ``seed``, and binned into
    ``<root>/SyntheticSpokenDigits/rasters/``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        train: bool = True,
        n_time_steps: int = 100,
        duration_ms: float = 1400.0,
        n_channels: int = 700,
        binary: bool = False,
        dtype: torch.dtype = torch.float32,
        n_samples_per_class: int = 144,
        seed: int = 0,
    ) -> None:
        """Open the rasters, generating them first if that has not been done yet.

        Args:
            root: folder to keep the rasters in; see `dataset_root` for the default.
            train: the training split, or the test split.
            n_time_steps: T.
            duration_ms: what the T time steps span, in ms; later events are dropped and counted.
            n_channels: C, a divisor of 700: neighbouring units share a channel.
            binary: keep only whether there was a spike in a cell, not how many.
            dtype: of the rasters that are given out, see `RasterDataset`.
            n_samples_per_class: utterances of each word, both splits and all speakers together; a multiple of 12.
            seed: another seed makes other accents and other utterances.

        Raises:
            TypeError: a number that is not whole.
            ValueError: parameters that make no raster, a number of samples that the speakers cannot share, a negative
                seed.
        """
        binning = Binning(n_time_steps, duration_ms, n_channels, binary)
        for what, value in (("n_samples_per_class", n_samples_per_class), ("seed", seed)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{what}: a whole number was wanted, {value!r} came")
        if n_samples_per_class < N_SPEAKERS or n_samples_per_class % N_SPEAKERS:
            raise ValueError(
                f"n_samples_per_class: a multiple of {N_SPEAKERS} was wanted, so that all speakers say each word as "
                f"often, {n_samples_per_class} came"
            )
        if seed < 0:
            raise ValueError(f"seed: a number from 0 was wanted, {seed} came")
        split = "train" if train else "test"
        utterances = _utterances(n_samples_per_class // N_SPEAKERS, train=train)
        file = open_or_build(
            binning.file_name(f"synthetic_spoken_digits_{split}_seed{seed}"),
            key={"split": split, "n_samples_per_class": int(n_samples_per_class), "seed": int(seed)}
            | binning.parameters(),
            state={"generation": _GENERATION, "binning": binning.fingerprint()},
            folders=[dataset_root(root) / _NAME / "rasters", user_cache_folder() / "rasters"],
            build=lambda writer: _generate(utterances, int(seed), binning, writer, f"{_NAME}, {split}"),
        )
        super().__init__(
            file=file,
            class_names=list(WORDS),
            name=_NAME,
            split=split,
            duration_ms=duration_ms,
            sha256=file.summary.facts["sha256"],
            n_dropped_events=file.summary.facts["n_dropped_events"],
            n_empty_samples=file.summary.facts["n_empty_samples"],
            dtype=dtype,
        )


def _utterances(n_repetitions: int, *, train: bool) -> npt.NDArray[np.int64]:
    """Speaker, repetition and word of each utterance of a split, int64 ``[N, 3]``.

    Of the twenty words of one repetition, one goes to the test split (5 %): another one each time.
    """
    shape = (N_SPEAKERS, n_repetitions, len(WORDS))
    speaker, repetition, word = np.indices(shape).reshape(3, -1)
    in_test = np.isin(speaker, _UNSEEN_SPEAKERS) | (word == (7 * repetition + 3 * speaker) % len(WORDS))
    chosen: npt.NDArray[np.int64] = np.stack([speaker, repetition, word], axis=1)[in_test != train].astype(np.int64)
    return chosen


def _generate(
    utterances: npt.NDArray[np.int64], seed: int, binning: Binning, writer: RasterWriter, description: str
) -> RasterSummary:
    speakers, words = make_speakers(seed), list(WORDS.values())
    digest = hashlib.sha256()

    def events() -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]]:
        for speaker, repetition, word in utterances.tolist():
            random = RawRandom(seed, 1, speaker, repetition, word)
            times_ms, units = speak(words[word], speakers[speaker], random)
            for values in ([speaker, word, len(units)], times_ms, units):
                digest.update(np.asarray(values, dtype="<i4").data)
            yield (times_ms.astype(np.float64) + 0.5) / 1000.0, units

    losses = write_rasters(events(), len(utterances), binning, writer, description)
    facts = {
        "sha256": digest.hexdigest(),
        "n_dropped_events": losses.n_dropped_events,
        "n_empty_samples": losses.n_empty_samples,
    }
    return RasterSummary(targets=utterances[:, 2], speakers=utterances[:, 0], facts=facts)
