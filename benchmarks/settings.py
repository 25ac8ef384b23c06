"""What a run is made of, apart from its seed."""

from __future__ import annotations

import hashlib
import json
import math
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
        first_learning_rate: of the optimizer, on the first experience; the largest where it follows a schedule.
        learning_rate: on each later experience.
        minibatch: samples in a minibatch.
        loss: cross-entropy over the classes "seen" so far, or over "all".
        optimizer: "adamax" or "adam".
        first_schedule, schedule: of the learning rate, on the first experience and on each later one: a shape of
            `avalanche_snn.training.LearningRateSchedule`.
        first_minibatch: samples in a minibatch of the first experience, if that is another number.
        gradient_norm: the longest gradient; None for any.
        label_smoothing: share of each label that is spread over the classes.
        augmentation: random changes of training rasters, name -> extent: channel_shift (channels), time_stretch
            (share), time_shift (steps), event_drop (share), blend (share of the samples, with others of their class).
        sparse_spikes: layer -> weight of its spikes in the loss, on the first experience.
        predict: which classes a sample may be taken for: those "seen" so far, or "all".
    """

    first_epochs: int = 40
    epochs: int = 10
    first_learning_rate: float = 1e-3
    learning_rate: float = 1e-3
    minibatch: int = 64
    loss: Literal["seen", "all"] = "seen"
    optimizer: Literal["adamax", "adam"] = "adamax"
    first_schedule: str = "constant"
    schedule: str = "constant"
    first_minibatch: int | None = None
    gradient_norm: float | None = None
    label_smoothing: float = 0.0
    augmentation: Mapping[str, float] = field(default_factory=dict)
    sparse_spikes: Mapping[str, float] = field(default_factory=dict)
    predict: Literal["seen", "all"] = "all"

    def __post_init__(self) -> None:
        for name in ("first_epochs", "epochs", "minibatch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: a number from 1 was wanted, {getattr(self, name)} came.")
        for name in ("first_learning_rate", "learning_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}: a number above 0 was wanted, {getattr(self, name)} came.")

    @property
    def settings(self) -> Settings:
        """All of it as it stands in records: what came later than the first records only where it is not as it was."""
        usual = Training()
        return {
            name: value
            for name, value in asdict(self).items()
            if name in _IN_ALL_RECORDS or value != getattr(usual, name)
        }

    @property
    def minibatch_of_first(self) -> int:
        """Samples in a minibatch of the first experience."""
        return self.first_minibatch or self.minibatch

    @property
    def of_first(self) -> Settings:
        """What decides how the network looks after the first experience."""
        elsewhere = (*_IN_ALL_RECORDS, "schedule", "first_minibatch", "predict")
        return {
            "epochs": self.first_epochs,
            "learning_rate": self.first_learning_rate,
            "minibatch": self.minibatch_of_first,
            "loss": self.loss,
            **{name: value for name, value in self.settings.items() if name not in elsewhere},
        }


_IN_ALL_RECORDS = ("first_epochs", "epochs", "first_learning_rate", "learning_rate", "minibatch", "loss")


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
        configuration: name of the settings that belong together which were asked for, if any were.
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
    configuration: str | None = None

    @property
    def settings(self) -> Settings:
        """Everything but the seed, as it stands in the record."""
        return {
            "stream": self.stream,
            "network": self.network,
            "training": self.training.settings,
            "options": self.options,
            "evaluate_on": self.evaluate_on,
            "quick": self.quick,
            **({"configuration": self.configuration} if self.configuration else {}),
        }

    @property
    def identifier(self) -> str:
        """Name of the record: benchmark, strategy, data, a digest of the settings, seed."""
        digest = digest_of(self.settings)[:8]
        return f"{self.benchmark}-{self.strategy}-{self.data}-{digest}-seed{self.seed}"


def digest_of(value: Any) -> str:
    """Return a digest of anything that JSON can hold, the same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
