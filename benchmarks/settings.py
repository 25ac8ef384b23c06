"""What a run is made of, apart from its seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

DataName = Literal["shd", "synthetic"]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """A figure from a publication, beside which ours are shown.

    Attributes:
        what: which configuration it belongs to.
        accuracy: in percent.
        source: where it stands.
        contaminated: whether test samples took part in training or in the choice of the epoch.
    """

    what: str
    accuracy: float
    source: str
    contaminated: bool


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        first_epochs: epochs on the first experience (joint training: on everything).
        epochs: epochs on each later experience.
        first_learning_rate: of Adamax, on the first experience.
        learning_rate: of Adamax, on each later experience.
        minibatch: samples in a minibatch.
        loss: cross-entropy over the classes "seen" so far, or over "all".
    """

    first_epochs: int = 40
    epochs: int = 10
    first_learning_rate: float = 1e-3
    learning_rate: float = 1e-3
    minibatch: int = 64
    loss: Literal["seen", "all"] = "seen"


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark: its stream, its network, its settings and the figures to beat.

    Attributes:
        name: as on the command line and in the records.
        title: for people.
        stream: options of the function that builds the stream.
        build: data name -> the function that builds the stream.
        network: options of `RecurrentSNN`.
        training: as published where it can be, see the file of the benchmark.
        published: figures to beat.
    """

    name: str
    title: str
    build: Mapping[DataName, Callable[..., Any]]
    stream: Settings
    published: tuple[Published, ...]
    network: Settings = field(default_factory=dict)
    training: Training = field(default_factory=Training)


@dataclass(frozen=True)
class RunPlan:
    """One run: everything that decides its outcome.

    Attributes:
        benchmark: name.
        strategy: name of a file in `strategies/`.
        data: "shd" or "synthetic".
        seed: of initial weights, order of samples and choice of exemplars.
        stream, network, training, options: settings of stream, network, training and strategy.
        evaluate_on: "test", or "valid" to choose settings without looking at the test stream.
        quick: a shortened run, to try things out.
    """

    benchmark: str
    strategy: str
    data: DataName
    seed: int
    stream: Settings
    network: Settings
    training: Training
    options: Settings
    evaluate_on: Literal["test", "valid"] = "test"
    quick: bool = False

    @property
    def settings(self) -> Settings:
        """Everything but the seed, as it stands in the record."""
        return {
            "stream": self.stream,
            "network": self.network,
            "training": asdict(self.training),
            "options": self.options,
            "evaluate_on": self.evaluate_on,
            "quick": self.quick,
        }

    @property
    def identifier(self) -> str:
        """Name of the record: benchmark, strategy, data, a digest of the settings, seed."""
        digest = digest_of(self.settings)[:8]
        return f"{self.benchmark}-{self.strategy}-{self.data}-{digest}-seed{self.seed}"


def digest_of(value: Any) -> str:
    """Return a digest of anything that JSON can hold, the same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
