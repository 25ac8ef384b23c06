"""Models by name: settings of `RecurrentSNN` that belong together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from avalanche_snn.models.recurrent import RecurrentSNN


@dataclass(frozen=True)
class NamedModel:
    """A model that has a name.

    Attributes:
        description: what it is, and its source.
        settings: keyword arguments of `RecurrentSNN`, as JSON has them; whatever is not there is as `RecurrentSNN` has
            it. `model_settings` gives a copy.
    """

    description: str
    settings: Mapping[str, Any]


# Neurons of Bittar & Garner (2022), and what goes with them in every network here.
_ADAPTIVE: Mapping[str, Any] = MappingProxyType(
    {
        "neuron": "adaptive",
        "batch_norm": True,
        "dropout": 0.1,
        "readout": "mean",
        "reset": "subtract",
        "surrogate": "box/1",
    }
)

MODELS: Mapping[str, NamedModel] = MappingProxyType(
    {
        "paper": NamedModel(
            "The network of compressed latent replays (arXiv 2407.03111): the defaults of RecurrentSNN.",
            {},
        ),
        "adaptive": NamedModel(
            "Two recurrent layers of adaptive neurons, currents normalised, of the family of Bittar & Garner (2022, "
            '"A surrogate gradient spiking baseline for speech command recognition", Frontiers in Neuroscience 16). '
            "The readout is ours: the mean of its membranes over time.",
            {
                "hidden": [128, 128],
                **_ADAPTIVE,
            },
        ),
        "delayed": NamedModel(
            'Neurons as in "adaptive". The first layer sees four moments of its input at once, by a bank of fixed '
            "axonal delays, and has no recurrence; what it puts out is pooled, so that a memory of its latents is "
            "small. Ours; delays that are trained: Hammouamri et al. (arXiv 2306.17670).",
            {
                "hidden": [256, 128],
                "recurrent": [False, True],
                "delays": {"hidden1": [0, 4, 8, 12]},
                "time_pooling": {"hidden1": "any/10"},
                **_ADAPTIVE,
            },
        ),
    }
)
"""The models that have a name, with what they are; `make_model` makes them."""


def model_settings(name: str) -> dict[str, Any]:
    """Return the keyword arguments of `RecurrentSNN` that the named model sets: a fresh dict of its own, of plain data.

    Raises:
        ValueError: there is no model of that name.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}: choose one of {', '.join(map(repr, MODELS))}")
    return copy.deepcopy(dict(MODELS[name].settings))


def make_model(name: str, n_inputs: int, n_classes: int, *, seed: int | None = None, **changes: Any) -> RecurrentSNN:
    """Make the named model, `[B, T, C] -> logits [B, K]`.

    Args:
        name: `"paper"`, `"adaptive"` or `"delayed"`; see `MODELS`.
        n_inputs: C, input channels.
        n_classes: K.
        seed: of the initial weights, as in `RecurrentSNN`.
        changes: keyword arguments of `RecurrentSNN`, each in the place of the named model's, if it has that one.

    Raises:
        ValueError: there is no model of that name, or `RecurrentSNN` refuses the settings with the changes.
    """
    return RecurrentSNN(n_inputs, n_classes=n_classes, seed=seed, **{**model_settings(name), **changes})
