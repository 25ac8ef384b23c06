"""From a pool of samples and an order of classes or speakers to an Avalanche scenario with all its streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from avalanche.benchmarks import NCScenario, NIScenario, nc_benchmark, ni_benchmark
from avalanche.benchmarks.scenarios.deprecated.classification_scenario import ClassificationScenario
from avalanche.benchmarks.scenarios.deprecated.dataset_scenario import StreamDef
from numpy.typing import NDArray

from avalanche_snn.benchmarks.pool import SamplePool
from avalanche_snn.benchmarks.whole_batches import with_whole_batches


def new_classes_scenario(
    pool: SamplePool,
    class_order: Sequence[int],
    classes_per_experience: Sequence[int],
    *,
    return_task_id: bool,
    class_ids_from_zero_from_first_exp: bool = False,
    class_ids_from_zero_in_each_exp: bool = False,
) -> NCScenario:
    """Build a scenario of new classes with a train, a test and, if samples are held out, a valid stream.

    Args:
        pool: the samples and their roles.
        class_order: labels in the order in which they are met.
        classes_per_experience: how many of them each experience brings.
        return_task_id: a task label for every experience instead of 0 for all.
        class_ids_from_zero_from_first_exp: label classes by their place in `class_order`.
        class_ids_from_zero_in_each_exp: label classes from 0 in every experience.

    Raises:
        ValueError: if a class has no sample in one of the streams.
    """
    roles = pool.roles
    for role, sample_ids in _roles_in_use(pool):
        for label in class_order:
            if not np.any(pool.targets[sample_ids] == label):
                raise ValueError(f"class {label} has no {role} sample; every class needs some in every stream")

    def scenario(evaluation_ids: NDArray[np.int64]) -> NCScenario:
        return nc_benchmark(
            pool.subset(roles.train, "train"),
            pool.subset(evaluation_ids, "eval"),
            n_experiences=len(classes_per_experience),
            task_labels=return_task_id,
            shuffle=False,
            fixed_class_order=list(class_order),
            per_exp_classes=dict(enumerate(classes_per_experience)),
            class_ids_from_zero_from_first_exp=class_ids_from_zero_from_first_exp,
            class_ids_from_zero_in_each_exp=class_ids_from_zero_in_each_exp,
        )

    benchmark = scenario(roles.test)
    streams = {}
    if len(roles.valid):
        # The valid stream is what Avalanche makes of these samples as a test stream: labels, tasks and order agree.
        streams["valid"] = scenario(roles.valid).stream_definitions["test"]
    _set_streams(benchmark, **streams)
    pool.describe(benchmark)
    return benchmark


def new_speakers_scenario(
    pool: SamplePool, speakers_per_experience: Sequence[Sequence[int]], *, return_task_id: bool
) -> NIScenario:
    """Build a scenario of new instances, one group of speakers an experience.

    The test and valid streams have one experience per training experience, of the same speakers. Speakers that are in
    the test data but in no group form the stream `unseen`, of one experience (with a task label of its own if
    `return_task_id`). `benchmark.speakers_in_experience` lists the groups.

    Raises:
        ValueError: if a group has no sample in one of the streams, or a class none in training.
    """
    roles = pool.roles
    labels = np.unique(pool.targets[roles.train])
    if not np.array_equal(labels, np.arange(len(labels))):
        # NIScenario counts samples in a list with one place per class.
        raise ValueError(f"every class from 0 on must have training samples, but only {labels.tolist()} have some")

    def ids_by_experience(role: str, sample_ids: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        groups = [sample_ids[np.isin(pool.speakers[sample_ids], group)] for group in speakers_per_experience]
        for group, ids in zip(speakers_per_experience, groups, strict=True):
            if not len(ids):
                raise ValueError(f"speakers {list(group)} have no {role} sample; every experience needs some")
        return groups

    def evaluation_stream(role: str, sample_ids: NDArray[np.int64]) -> tuple[Any, ...]:
        by_experience = ids_by_experience(role, sample_ids)
        task_labels = [index if return_task_id else 0 for index in range(len(by_experience))]
        datasets = [pool.subset(ids, "eval", label) for ids, label in zip(by_experience, task_labels, strict=True)]
        return datasets, task_labels, pool.subset(np.concatenate(by_experience), "eval")

    train_ids = ids_by_experience("training", roles.train)
    seen = np.concatenate([np.asarray(group) for group in speakers_per_experience])
    is_seen = np.isin(pool.speakers[roles.test], seen)
    streams = {"test": evaluation_stream("test", roles.test)}
    if len(roles.valid):
        streams["valid"] = evaluation_stream("validation", roles.valid)
    if not is_seen.all():
        label = len(speakers_per_experience) if return_task_id else 0
        unseen = pool.subset(roles.test[~is_seen], "eval", label)
        streams["unseen"] = ([unseen], [label], unseen)

    benchmark = ni_benchmark(
        pool.subset(roles.train, "train"),
        pool.subset(roles.test[is_seen], "eval"),
        n_experiences=len(train_ids),
        task_labels=return_task_id,
        fixed_exp_assignment=[np.searchsorted(roles.train, ids).tolist() for ids in train_ids],
    )
    _set_streams(benchmark, **streams)
    benchmark.speakers_in_experience = [sorted(group) for group in speakers_per_experience]
    pool.describe(benchmark)
    return benchmark


def _roles_in_use(pool: SamplePool) -> list[tuple[str, NDArray[np.int64]]]:
    roles = [("training", pool.roles.train), ("test", pool.roles.test), ("validation", pool.roles.valid)]
    return [(role, sample_ids) for role, sample_ids in roles if role != "validation" or len(sample_ids)]


def _set_streams(benchmark: Any, **streams: Any) -> None:
    """Add streams to a scenario, or replace them, and let the data sets of all streams read whole minibatches."""
    replace_streams(
        benchmark,
        {name: _reading_whole_batches(stream) for name, stream in {**benchmark.stream_definitions, **streams}.items()},
    )


def replace_streams(benchmark: Any, definitions: Mapping[str, Any]) -> None:
    """Give a scenario other streams.

    The constructors of NCScenario and NIScenario know a train and a test stream only, and make data sets of a class of
    their own; the constructor of their base takes any, so it is run once more over all of them, which leaves what the
    scenario says of itself alone.

    Args:
        benchmark: the scenario.
        definitions: of all its streams by name, as in its `stream_definitions`.
    """
    ClassificationScenario.__init__(
        benchmark,
        stream_definitions=dict(definitions),
        stream_factory=benchmark.stream_factory,
        experience_factory=benchmark.experience_factory,
    )


def _reading_whole_batches(stream: Any) -> tuple[Any, ...]:
    """Return a definition of a stream: data sets of its experiences, their task labels, and all samples together."""
    if isinstance(stream, StreamDef):
        stream = (list(stream.exps_data), stream.exps_task_labels, stream.origin_dataset)
    datasets, task_labels, origin = stream
    return [with_whole_batches(dataset) for dataset in datasets], task_labels, origin
