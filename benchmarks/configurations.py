"""Settings that belong together and have a name: a network, how it is trained, and the options that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from benchmarks.settings import Settings


@dataclass(frozen=True)
class Configuration:
    """Settings that come in the place of those of a benchmark.

    Attributes:
        name: as on the command line, in records and tables.
        title: for people.
        stream, network, training: settings, as in `benchmarks.settings.RunPlan`; what is not there is the benchmark's.
        options: strategy -> its options, in the place of its defaults.
    """

    name: str
    title: str
    stream: Settings = field(default_factory=dict)
    network: Settings = field(default_factory=dict)
    training: Settings = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


# What "sparse" and "voices" have in common; voices that were never heard ask for more dropout and finer time.
_SPARSE_TRAINING: Settings = {
    "first_epochs": 30,
    "epochs": 10,
    "optimizer": "adam",
    "first_learning_rate": 5e-3,
    "learning_rate": 2e-3,
    "first_schedule": "one_cycle",
    "schedule": "cosine",
    "first_minibatch": 128,
    "minibatch": 64,
    "gradient_norm": 5.0,
    "label_smoothing": 0.1,
    "augmentation": {"channel_shift": 5, "time_shift": 8},
    "sparse_spikes": {"hidden1_pooling": 1.0},
}

_VOICES_NETWORK: Settings = {"model": "delayed", "dropout": 0.3, "time_pooling": {"hidden1": "any/5"}}

CONFIGURATIONS: Mapping[str, Configuration] = MappingProxyType(
    {
        configuration.name: configuration
        for configuration in (
            Configuration("paper", "Network and training of arXiv 2407.03111, as the benchmarks have them"),
            Configuration(
                "paper_trained",
                "The publication's network and neurons; a wider surrogate gradient, augmentation, 30 epochs",
                network={"surrogate": "fast_sigmoid/10"},
                training={
                    "first_epochs": 30,
                    "epochs": 10,
                    "first_learning_rate": 2e-3,
                    "learning_rate": 1e-3,
                    "first_schedule": "one_cycle",
                    "schedule": "cosine",
                    "gradient_norm": 5.0,
                    "label_smoothing": 0.1,
                    "augmentation": {"channel_shift": 25, "time_shift": 8},
                },
                options={"distilled_latent_replay": {"after": "hidden2", "codec": "bits"}},
            ),
            Configuration(
                "sparse",
                "Adaptive neurons behind fixed delays, few spikes, pooled over ten time steps",
                stream={"n_channels": 140},
                network={"model": "delayed"},
                training=_SPARSE_TRAINING,
            ),
            Configuration(
                "voices",
                "As sparse, for speakers that were never heard: pooled over five time steps, more dropout",
                stream={"n_channels": 140},
                network=_VOICES_NETWORK,
                training=_SPARSE_TRAINING,
            ),
            Configuration(
                "thorough",
                "As voices, twice the epochs on experience 0: for all data at once",
                stream={"n_channels": 140},
                network=_VOICES_NETWORK,
                training={**_SPARSE_TRAINING, "first_epochs": 60},
            ),
            Configuration(
                "growing",
                "Adaptive neurons, 15 epochs an experience, each trained as the first one: for networks that grow",
                stream={"n_channels": 140},
                network={"model": "adaptive"},
                training={
                    "first_epochs": 15,
                    "epochs": 15,
                    "optimizer": "adam",
                    "first_learning_rate": 5e-3,
                    "learning_rate": 5e-3,
                    "first_schedule": "one_cycle",
                    "schedule": "one_cycle",
                    "minibatch": 128,
                    "gradient_norm": 5.0,
                    "augmentation": {"channel_shift": 5, "time_shift": 8},
                    # As in a readout that grows with its classes, which the methods that were made for this have.
                    "predict": "seen",
                },
            ),
        )
    }
)
"""All of them by their names."""

_NONE = Configuration("", "")


def find_configuration(name: str | None) -> Configuration:
    """Return the configuration of that name; one that changes nothing, and has no name, for None.

    Raises:
        ValueError: there is none of that name.
    """
    if name is None:
        return _NONE
    if name not in CONFIGURATIONS:
        raise ValueError(f"There is no configuration {name!r}; there are {', '.join(CONFIGURATIONS)}.")
    return CONFIGURATIONS[name]
