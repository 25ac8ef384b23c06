"""Buffers of exemplars: told by where their samples are in the stream, and going on as those that were saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.benchmarks import nc_benchmark
from avalanche.training.plugins import LwFPlugin, ReplayPlugin
from avalanche.training.storage_policy import (
    ClassBalancedBuffer,
    ExemplarsBuffer,
    ExperienceBalancedBuffer,
    ParametricBuffer,
    ReservoirSamplingBuffer,
)
from checkpointed_runs import assert_same, compose
from tiny_learners import Rasters, seed_everything, tiny_benchmark, tiny_network, tiny_strategy
from torch.utils.data import DataLoader

from avalanche_snn.benchmarks.whole_batches import collate_samples
from avalanche_snn.checkpointing import buffer_state, load_buffer_state, resume, save
from avalanche_snn.checkpointing.files import read_checkpoint, write_checkpoint
from avalanche_snn.checkpointing.known_plugins import known_state, load_known
from avalanche_snn.checkpointing.references import References
from avalanche_snn.checkpointing.stream_samples import StreamSamples
from avalanche_snn.training import CompressedLatentReplayPlugin

# A set of the first of these is gone through in an order that depends on how it came about.
ORDER = [16, 0, 8, 17, 1, 9, 18, 2, 10, 19, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]
MAKERS: list[Callable[[], ExemplarsBuffer]] = [
    lambda: ClassBalancedBuffer(31),
    lambda: ReservoirSamplingBuffer(31),
    lambda: ExperienceBalancedBuffer(31),
    lambda: ParametricBuffer(31, groupby="class"),
    lambda: ParametricBuffer(31),
]


def twenty_classes() -> Any:
    train, test = (Rasters(seed, n_each=4, n_classes=20) for seed in (1, 2))
    return nc_benchmark(train, test, 5, task_labels=False, shuffle=False, fixed_class_order=ORDER)


def references_to(benchmark: Any, strategy: Any = None) -> References:
    return References(strategy or tiny_strategy(tiny_network()), StreamSamples(benchmark.train_stream))


def through_a_file(state: Any, path: Path) -> Any:
    write_checkpoint(path, {"state": state})
    return read_checkpoint(path)["state"]


def contents(buffer: ExemplarsBuffer) -> list[Any]:
    return [[sample[0], int(sample[1])] for sample in buffer.buffer]


@pytest.mark.parametrize("make", MAKERS, ids=["classes", "reservoir", "experiences", "parametric", "no groups"])
def test_a_loaded_buffer_goes_on_as_the_saved_one(make: Callable[[], Any], tmp_path: Path) -> None:
    def go_on(buffer: Any, benchmark: Any) -> None:
        seed_everything(1)
        for number in (3, 0, 4):  # experience 0 once more: groups take in samples of classes that they have
            buffer.post_adapt(None, benchmark.train_stream[number])

    saved, benchmark = make(), twenty_classes()
    seed_everything()
    for experience in benchmark.train_stream[:3]:
        saved.post_adapt(None, experience)
    written = through_a_file(references_to(benchmark).written(buffer_state(saved), "it"), tmp_path / "c")
    loaded, other = make(), twenty_classes()
    load_buffer_state(loaded, references_to(other).made(written))
    assert len(contents(loaded)) == 31
    assert_same(contents(loaded), contents(saved))
    go_on(saved, benchmark)
    go_on(loaded, other)
    assert_same(contents(loaded), contents(saved))
    for name in ("seen_classes", "seen_groups"):
        assert list(getattr(loaded, name, [])) == list(getattr(saved, name, []))


def test_no_sample_is_stored() -> None:
    def tensors(value: Any) -> list[torch.Tensor]:
        if isinstance(value, torch.Tensor):
            return [value]
        items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        return [tensor for item in items for tensor in tensors(item)]

    benchmark, buffer = twenty_classes(), ClassBalancedBuffer(31)
    buffer.post_adapt(None, benchmark.train_stream[0])
    stored = tensors(references_to(benchmark).written(buffer_state(buffer), "it"))
    assert stored
    assert all(tensor.dim() == 1 for tensor in stored)


@pytest.mark.parametrize("group", ["train", "eval"])
def test_a_rebuilt_data_set_is_the_same_in_all_that_is_seen_of_it(group: str, tmp_path: Path) -> None:
    _, benchmark = compose("naive")
    first, second, _ = (experience.dataset for experience in benchmark.train_stream)
    dataset = second.subset([3, 0]).concat(first.subset([7, 7, 1])).with_transforms(group)
    samples = StreamSamples(benchmark.train_stream)
    _, other = compose("naive")
    rebuilt = StreamSamples(other.train_stream).rebuild(through_a_file(samples.describe(dataset), tmp_path / "c"))
    assert type(rebuilt) is type(dataset)
    assert rebuilt.collate_fn is collate_samples
    for name, attribute in dataset._data_attributes.items():
        assert list(rebuilt._data_attributes[name]) == list(attribute)
    minibatches = []
    for each in (dataset, rebuilt):
        seed_everything(4)
        minibatches.append(list(DataLoader(each, 2, collate_fn=each.collate_fn)))
    assert_same(minibatches[1], minibatches[0])


def test_samples_of_another_stream_are_refused_by_the_name_of_who_holds_them(tmp_path: Path) -> None:
    replay, benchmark = ReplayPlugin(8), tiny_benchmark()
    strategy = tiny_strategy(tiny_network(), [replay])
    save(tmp_path / "c", strategy, benchmark)
    strategy.train(tiny_benchmark().train_stream[0], eval_streams=[])
    with pytest.raises(TypeError, match=r"ReplayPlugin cannot be saved, since it holds samples that are not those of"):
        save(tmp_path / "c", strategy, benchmark)


def test_a_stream_that_lacks_the_samples() -> None:
    stream = twenty_classes().train_stream
    description = StreamSamples(stream).describe(stream[4].dataset)
    with pytest.raises(ValueError, match="refers to samples that the training stream does not have"):
        StreamSamples(tiny_benchmark().train_stream).rebuild(description)


def test_exemplars_beside_latents_are_refused_before_training(tmp_path: Path) -> None:
    strategy = tiny_strategy(tiny_network(), [CompressedLatentReplayPlugin("hidden1"), ReplayPlugin(8)])
    with pytest.raises(TypeError, match=r"ReplayPlugin with a CompressedLatentReplayPlugin cannot be saved"):
        resume(tmp_path / "c", strategy, tiny_benchmark())


def test_a_buffer_that_holds_more_is_named() -> None:
    buffer = ReservoirSamplingBuffer(3)
    buffer.lots = {1, 2}
    with pytest.raises(TypeError, match=r"The buffer ReservoirSamplingBuffer cannot be saved.* 'lots' is a set"):
        buffer_state(buffer)


def lwf_after(experiences: Any) -> LwFPlugin:
    plugin, strategy = LwFPlugin(), tiny_strategy(tiny_network())
    for experience in experiences:
        plugin.lwf.post_adapt(strategy, experience)
    return plugin


def test_lwf_sums_over_classes_in_the_same_order() -> None:
    stream = twenty_classes().train_stream
    for n_experiences in range(6):
        saved, loaded = lwf_after(stream[:n_experiences]), LwFPlugin()
        load_known(loaded, LwFPlugin, known_state(saved, LwFPlugin), list(stream))
        found, expected = loaded.lwf.prev_classes_by_task, saved.lwf.prev_classes_by_task
        assert {task: list(of_task) for task, of_task in found.items()} == {t: list(c) for t, c in expected.items()}


def test_lwf_in_another_order_than_the_streams() -> None:
    stream = twenty_classes().train_stream
    state = known_state(lwf_after([stream[1]]), LwFPlugin)
    with pytest.raises(ValueError, match=r"first 1 experiences have .*: only training in the order of the stream"):
        load_known(LwFPlugin(), LwFPlugin, state, list(stream))
