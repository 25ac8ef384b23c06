"""Speech made of formants and noise, heard by 700 tonotopic units that spike at random.

Everything random is drawn from the raw output of a PCG64 generator of each utterance's own, which no release of numpy
changes, and what it is compared with is rounded first: the same events on every platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avalanche_snn.datasets.phonemes import PHONEMES, Segment

N_UNITS = 700
N_SPEAKERS = 12
FRAME_MS = 4
LONGEST_MS = 1400

# Factors on the formants of an adult male voice (shorter vocal tracts raise them), pitches, factors on the tempo.
# Speakers 4 and 5, who are not in the training split, lie within the range of the others, as most new voices do.
_FORMANT_SCALES = (0.89, 1.13, 0.93, 1.17, 0.97, 1.11, 0.91, 1.15, 1.01, 1.07, 0.95, 1.19)
_PITCHES_HZ = (95.0, 195.0, 120.0, 225.0, 125.0, 190.0, 105.0, 210.0, 140.0, 180.0, 115.0, 235.0)
_TEMPOS = (1.10, 0.88, 0.95, 1.06, 1.02, 0.96, 0.84, 1.16, 1.00, 1.12, 0.90, 1.04)

# How utterances of one word by one speaker differ: largest factor, either way, if nothing else is said.
_TEMPO_SPREAD = 1.3
_DURATION_SPREAD = 1.4
_FORMANT_SPREAD = 1.06
_SINGLE_FORMANT_SPREAD = 1.07
_NOISE_SPREAD = 1.15
_LEVEL_SPREAD = 1.5
_COLOUR_SPREAD = 1.6
_LARGEST_REDUCTION = 0.3
_LATEST_ONSET_MS = 120.0

_READING_TEMPO = 0.68
_TRANSITION_MS = 22.0
_FADE_MS = 25.0
_NEUTRAL_FORMANTS_HZ = np.array([500.0, 1500.0, 2500.0])

# Units a peak of excitation is wide (standard deviation), and how high it is at full level.
_FORMANT_WIDTH, _FORMANT_HEIGHTS = 9.0, np.array([1.0, 0.8, 0.5])
_HARMONIC_WIDTH, _HARMONIC_HEIGHTS = 8.0, np.array([0.5, 0.35, 0.25])
_NOISE_WIDTH, _NOISE_HEIGHT = 26.0, 0.55
_SPIKES_PER_FRAME = 0.7
_SPONTANEOUS_SPIKES_PER_FRAME = 0.012
_GAIN_KNOTS = 12


@dataclass(frozen=True)
class Speaker:
    """A voice.

    Attributes:
        formant_scale: factor on all formants.
        pitch_hz: fundamental frequency.
        tempo: factor on the speed.
        accent: for each phoneme, float64 ``[3]``, factors on its formants.
        gains: float64 ``[700]``, how loud each unit hears this voice.
    """

    formant_scale: float
    pitch_hz: float
    tempo: float
    accent: dict[str, npt.NDArray[np.float64]]
    gains: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Tracks:
    """An utterance over F frames: units where it peaks (int64) and levels (float64)."""

    formant_units: npt.NDArray[np.int64]  # [3, F]
    harmonic_units: npt.NDArray[np.int64]  # [3, F]
    noise_units: npt.NDArray[np.int64]  # [3, F]: lower edge, centre, upper edge
    voice: npt.NDArray[np.float64]  # [F]
    friction: npt.NDArray[np.float64]  # [F]


class RawRandom:
    """Uniform random numbers from nothing but the raw bits of PCG64."""

    def __init__(self, *entropy: int) -> None:
        """Begin a stream of its own for each different ``entropy``."""
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))

    def uniform(self, low: float, high: float, *shape: int) -> npt.NDArray[np.float64]:
        """Uniform float64 of a shape."""
        raw = np.asarray(self._bits.random_raw(int(np.prod(shape, dtype=np.int64))), dtype=np.uint64)
        unit: npt.NDArray[np.float64] = (raw >> np.uint64(11)).astype(np.float64).reshape(shape) / 2.0**53
        return low + (high - low) * unit

    def factors(self, largest: float, *shape: int) -> npt.NDArray[np.float64]:
        """Float64 of a shape between ``1 / largest`` and ``largest``, uniform in the logarithm."""
        return np.asarray(np.exp(self.uniform(-1.0, 1.0, *shape) * np.log(largest)))

    def integers_16(self, n_values: int) -> npt.NDArray[np.uint16]:
        """Uniform uint16 ``[n_values]``."""
        raw = np.asarray(self._bits.random_raw(-(-n_values // 4)), dtype="<u8")
        return raw.view("<u2")[:n_values].astype(np.uint16, copy=False)


def make_speakers(seed: int) -> list[Speaker]:
    """Make the twelve speakers; the seed decides their accents and gains."""
    speakers = []
    for number in range(N_SPEAKERS):
        random = RawRandom(seed, 0, number)
        accent = {phoneme: random.uniform(0.95, 1.05, 3) for phoneme in PHONEMES}
        gains = _smooth(random.uniform(0.7, 1.3, _GAIN_KNOTS))
        speakers.append(Speaker(_FORMANT_SCALES[number], _PITCHES_HZ[number], _TEMPOS[number], accent, gains))
    return speakers


def speak(
    word: Sequence[str], speaker: Speaker, random: RawRandom
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Events of one utterance of a word: an inhomogeneous Poisson process, at most one spike a unit and frame.

    Args:
        word: its phonemes.
        speaker: who speaks.
        random: what makes this utterance differ from others.

    Returns:
        Times in whole ms, sorted, below 1400, and units 0..699, from low to high frequencies.
    """
    means = _mean_spikes(_tracks(word, speaker, random), speaker, random)[: LONGEST_MS // FRAME_MS]
    # Thresholds are whole numbers so that the last bit of a logarithm, which platforms disagree on, decides nothing.
    thresholds = np.minimum(means * np.float32(65536.0), np.float32(65535.0)).astype(np.uint16)
    spikes = random.integers_16(thresholds.size).reshape(thresholds.shape) < thresholds
    frames, units = np.nonzero(spikes)
    times_ms = frames * FRAME_MS + random.integers_16(len(frames)) % FRAME_MS
    order = np.argsort(times_ms, kind="stable")
    return times_ms[order].astype(np.int64), units[order].astype(np.int64)


def unit_of(frequency_hz: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Unit that hears a frequency best: 165.4 (10^(2.1 x) - 0.88) Hz at x = unit / 699 (Greenwood 1990, eq. 1)."""
    place = np.log10(np.maximum(frequency_hz, 20.0) / 165.4 + 0.88) / 2.1
    return np.clip(np.rint(place * (N_UNITS - 1)), 0, N_UNITS - 1).astype(np.int64)


def _tracks(word: Sequence[str], speaker: Speaker, random: RawRandom) -> _Tracks:
    segments: list[Segment] = [segment for phoneme in word for segment in PHONEMES[phoneme]]
    accent = np.array([speaker.accent[phoneme] for phoneme in word for _ in PHONEMES[phoneme]])
    n_segments = len(segments)

    durations_ms = np.array([segment.duration_ms for segment in segments])
    durations_ms = durations_ms / (_READING_TEMPO * speaker.tempo * random.factors(_TEMPO_SPREAD))
    durations_ms = durations_ms * random.factors(_DURATION_SPREAD, n_segments)
    formants_hz = np.array([segment.formants_hz for segment in segments]) * accent
    formants_hz += random.uniform(0.0, _LARGEST_REDUCTION) * (_NEUTRAL_FORMANTS_HZ - formants_hz)
    formants_hz *= speaker.formant_scale * random.factors(_FORMANT_SPREAD)
    formants_hz *= random.factors(_SINGLE_FORMANT_SPREAD, n_segments, 3)
    # The cavity in front of a constriction varies less between speakers than the whole tract.
    noise_hz = np.array([segment.noise_hz for segment in segments]) * (0.5 + 0.5 * speaker.formant_scale)
    noise_hz = noise_hz * random.factors(_NOISE_SPREAD, n_segments, 1)
    levels = random.factors(_LEVEL_SPREAD, n_segments)

    onset_ms = random.uniform(0.0, _LATEST_ONSET_MS)
    ends_ms = onset_ms + np.cumsum(durations_ms)
    margins_ms = np.minimum(_TRANSITION_MS, 0.4 * durations_ms)
    knots_ms = np.stack([ends_ms - durations_ms + margins_ms, ends_ms - margins_ms], axis=1).reshape(-1)
    times_ms = np.arange(0.0, ends_ms[-1] + _FADE_MS, FRAME_MS)

    def track(targets: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Hold each segment's target, with a transition to the next."""
        return np.interp(times_ms, knots_ms, np.repeat(targets, 2))

    fade = np.clip(np.minimum(times_ms - onset_ms, ends_ms[-1] + _FADE_MS - times_ms) / _FADE_MS, 0.0, 1.0)
    pitch_hz = speaker.pitch_hz * random.uniform(0.88, 1.12) * random.uniform(0.85, 1.2, 2)
    pitch_track_hz = np.interp(times_ms, [0.0, ends_ms[-1]], pitch_hz)
    low_hz, high_hz = track(noise_hz[:, 0]), track(noise_hz[:, 1])
    return _Tracks(
        formant_units=unit_of(np.stack([track(formants_hz[:, number]) for number in range(3)])),
        harmonic_units=unit_of(np.arange(1, 4)[:, None] * pitch_track_hz),
        noise_units=unit_of(np.stack([low_hz, np.sqrt(low_hz * high_hz), high_hz])),
        voice=track(np.array([segment.voicing for segment in segments]) * levels) * fade,
        friction=track(np.array([segment.noise for segment in segments]) * levels) * fade,
    )


def _mean_spikes(tracks: _Tracks, speaker: Speaker, random: RawRandom) -> npt.NDArray[np.float32]:
    """Mean number of spikes a frame and unit, float32 ``[F, 700]``."""
    excitation = np.zeros((len(tracks.voice), N_UNITS), dtype=np.float32)
    formant_heights = _FORMANT_HEIGHTS * random.factors(_LEVEL_SPREAD, 3)
    for number in range(3):
        _add_peaks(excitation, tracks.formant_units[number], _FORMANT_WIDTH, formant_heights[number] * tracks.voice)
        _add_peaks(excitation, tracks.harmonic_units[number], _HARMONIC_WIDTH, _HARMONIC_HEIGHTS[number] * tracks.voice)
        _add_peaks(excitation, tracks.noise_units[number], _NOISE_WIDTH, _NOISE_HEIGHT * tracks.friction)
    colour = _smooth(random.factors(_COLOUR_SPREAD, _GAIN_KNOTS))
    excitation *= (_SPIKES_PER_FRAME * colour * speaker.gains).astype(np.float32)
    excitation += np.float32(_SPONTANEOUS_SPIKES_PER_FRAME)
    return excitation


def _add_peaks(
    excitation: npt.NDArray[np.float32], units: npt.NDArray[np.int64], width: float, heights: npt.NDArray[np.float64]
) -> None:
    """Add a Gaussian to each frame, cut from one table that reaches beyond both ends of the units."""
    table = np.exp(-0.5 * (np.arange(-N_UNITS, N_UNITS) / width) ** 2).astype(np.float32)
    peaks = np.lib.stride_tricks.sliding_window_view(table, N_UNITS)[N_UNITS - units]
    peaks *= heights[:, None].astype(np.float32)
    excitation += peaks


def _smooth(knots: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Spread values evenly over the units, with straight lines between them."""
    return np.interp(np.linspace(0.0, len(knots) - 1.0, N_UNITS), np.arange(len(knots)), knots)
