"""How the twenty digits sound: words as phonemes, phonemes as stretches of formants and noise.

Formants are those of an average adult male voice; vowels after Peterson & Barney (1952), "Control methods used in a
study of the vowels", the others rounded from textbook figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Segment(NamedTuple):
    """A stretch of speech with one target of the vocal tract.

    Attributes:
        duration_ms: when spoken fluently; digits read out one by one are slower (see `_READING_TEMPO`).
        formants_hz: first, second and third resonance.
        voicing: level of the voice that excites them, 0..1.
        noise_hz: lower and upper edge of the band of friction noise.
        noise: level of that noise, 0..1.
    """

    duration_ms: float
    formants_hz: tuple[float, float, float]
    voicing: float = 1.0
    noise_hz: tuple[float, float] = (2000.0, 4000.0)
    noise: float = 0.0


_S = (5000.0, 8500.0)
_F = (1800.0, 8000.0)

PHONEMES: Mapping[str, tuple[Segment, ...]] = MappingProxyType(
    {
        # vowels
        "i": (Segment(140, (270, 2290, 3010)),),
        "I": (Segment(90, (390, 1990, 2550)),),
        "E": (Segment(110, (530, 1840, 2480)),),
        "a": (Segment(120, (730, 1250, 2440)),),
        "V": (Segment(120, (640, 1190, 2390)),),
        "O": (Segment(140, (570, 840, 2410)),),
        "U": (Segment(100, (440, 1020, 2240)),),
        "u": (Segment(190, (300, 870, 2240)),),
        "Y": (Segment(110, (390, 1500, 2150)),),
        "@": (Segment(60, (500, 1500, 2500)),),
        "6": (Segment(90, (600, 1300, 2450)),),
        # diphthongs
        "aI": (Segment(110, (730, 1250, 2440)), Segment(90, (390, 1990, 2550))),
        "eI": (Segment(90, (480, 1900, 2500)), Segment(90, (300, 2250, 2950))),
        "oU": (Segment(100, (540, 920, 2400)), Segment(90, (400, 830, 2240))),
        "OY": (Segment(110, (570, 840, 2410)), Segment(90, (390, 1600, 2300))),
        # nasals, liquids, glides
        "n": (Segment(80, (280, 1650, 2600), voicing=0.45),),
        "l": (Segment(90, (360, 1250, 2700), voicing=0.6),),
        "r": (Segment(70, (330, 1060, 1500), voicing=0.7),),
        "R": (Segment(70, (450, 1150, 2300), voicing=0.5, noise_hz=(900, 1800), noise=0.3),),
        "w": (Segment(70, (300, 640, 2200), voicing=0.6),),
        # fricatives
        "s": (Segment(120, (300, 1700, 2600), voicing=0.0, noise_hz=_S, noise=1.0),),
        "z": (Segment(100, (300, 1700, 2600), voicing=0.35, noise_hz=_S, noise=0.7),),
        "f": (Segment(100, (300, 1100, 2300), voicing=0.0, noise_hz=_F, noise=0.5),),
        "v": (Segment(70, (300, 1100, 2300), voicing=0.45, noise_hz=_F, noise=0.25),),
        "T": (Segment(100, (300, 1400, 2500), voicing=0.0, noise_hz=(4000, 8000), noise=0.4),),
        "x": (Segment(100, (600, 1300, 2400), voicing=0.0, noise_hz=(1000, 2400), noise=0.7),),
        # plosives: a closure, then a burst
        "t": (
            Segment(50, (300, 1700, 2600), voicing=0.0),
            Segment(35, (300, 1700, 2600), voicing=0.0, noise_hz=(3000, 6500), noise=0.8),
        ),
        "d": (
            Segment(45, (250, 1700, 2600), voicing=0.25),
            Segment(18, (300, 1700, 2600), voicing=0.3, noise_hz=(2600, 5500), noise=0.6),
        ),
        "k": (
            Segment(55, (300, 1800, 2400), voicing=0.0),
            Segment(35, (300, 1800, 2400), voicing=0.0, noise_hz=(1400, 2600), noise=0.8),
        ),
        "b": (
            Segment(50, (250, 900, 2200), voicing=0.25),
            Segment(15, (300, 900, 2200), voicing=0.4, noise_hz=(500, 1500), noise=0.5),
        ),
    }
)

WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "zero": ("z", "I", "r", "oU"),
        "one": ("w", "V", "n"),
        "two": ("t", "u"),
        "three": ("T", "r", "i"),
        "four": ("f", "O", "r"),
        "five": ("f", "aI", "v"),
        "six": ("s", "I", "k", "s"),
        "seven": ("s", "E", "v", "@", "n"),
        "eight": ("eI", "t"),
        "nine": ("n", "aI", "n"),
        "null": ("n", "U", "l"),
        "eins": ("aI", "n", "s"),
        "zwei": ("t", "s", "v", "aI"),
        "drei": ("d", "R", "aI"),
        "vier": ("f", "i", "6"),
        "fuenf": ("f", "Y", "n", "f"),
        "sechs": ("z", "E", "k", "s"),
        "sieben": ("z", "i", "b", "@", "n"),
        "acht": ("a", "x", "t"),
        "neun": ("n", "OY", "n"),
    }
)
