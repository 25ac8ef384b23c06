"""No test or validation sample is ever in training: followed by identity, and by content, through every protocol."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.supervised import Naive
from tiny_rasters import tiny_files

from avalanche_snn.benchmarks import class_incremental, multi_class_incremental, sample_incremental, split_classes

TRAIN, TEST = tiny_files()
N_SAMPLES = len(TRAIN) + len(TEST)


def contents(rasters):
    return [np.asarray(raster, dtype=np.uint8).tobytes() for raster in rasters]


CONTENT_OF_SAMPLE = contents([*TRAIN.rasters, *TEST.rasters])
PROTOCOLS = {
    "split": lambda **options: split_classes(TRAIN, TEST, 2, **options),
    "class": lambda **options: class_incremental(TRAIN, TEST, n_pretrain_classes=2, new_class=1, **options),
    "multi_class": lambda **options: multi_class_incremental(TRAIN, TEST, n_pretrain_classes=2, **options),
    "sample": lambda **options: sample_incremental(TRAIN, TEST, new_speaker=2, n_experiences=3, **options),
}
CASES = [
    (protocol, split, validation, by)
    for protocol, split, (validation, by) in itertools.product(
        PROTOCOLS, ("official", "merged"), ((0.0, "sample"), (0.2, "sample"), (0.3, "speaker"))
    )
    if (protocol, by) != ("sample", "speaker")
]


def build(protocol, split, validation, by, seed=0):
    return PROTOCOLS[protocol](split=split, validation=validation, validation_by=by, shuffle=True, seed=seed)


def ids(stream):
    return [list(experience.dataset.sample_ids) for experience in stream]


def union(lists):
    return {sample for samples in lists for sample in samples}


def test_rasters_of_the_test_data_are_all_different():
    assert len(set(CONTENT_OF_SAMPLE)) == N_SAMPLES


@pytest.mark.parametrize(("protocol", "split", "validation", "by"), CASES)
def test_every_sample_is_in_one_experience_of_one_stream(protocol, split, validation, by):
    benchmark = build(protocol, split, validation, by)
    everywhere = [sample for stream in benchmark.streams.values() for samples in ids(stream) for sample in samples]
    assert sorted(everywhere) == list(range(N_SAMPLES))
    if split == "official":
        assert union(ids(benchmark.test_stream)) <= set(range(len(TRAIN), N_SAMPLES))
        assert union(ids(benchmark.train_stream)) <= set(range(len(TRAIN)))


@pytest.mark.parametrize(("protocol", "split", "validation", "by"), CASES)
def test_identities_are_true_and_contents_disjoint(protocol, split, validation, by):
    benchmark = build(protocol, split, validation, by)
    seen = {}
    for name, stream in benchmark.streams.items():
        seen[name] = set()
        for experience in stream:
            served = contents(experience.dataset[index][0] for index in range(len(experience.dataset)))
            assert served == [CONTENT_OF_SAMPLE[sample] for sample in experience.dataset.sample_ids]
            seen[name].update(served)
    assert len(set.union(*seen.values())) == sum(map(len, seen.values())) == N_SAMPLES


@pytest.mark.parametrize(("protocol", "split", "validation", "by"), CASES)
def test_no_seed_turns_a_held_out_sample_into_a_training_sample(protocol, split, validation, by):
    roles = [
        {name: union(ids(stream)) for name, stream in build(protocol, split, validation, by, seed).streams.items()}
        for seed in range(3)
    ]
    assert roles[0] == roles[1] == roles[2]


@pytest.mark.parametrize("split", ["official", "merged"])
def test_all_protocols_hold_out_the_same_samples(split):
    held_out = {frozenset(union(ids(build(protocol, split, 0.2, "sample").valid_stream))) for protocol in PROTOCOLS}
    assert len(held_out) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_same_seed_same_streams(protocol):
    first, second = (build(protocol, "merged", 0.2, "sample", seed=3) for _ in range(2))
    assert {name: ids(stream) for name, stream in first.streams.items()} == {
        name: ids(stream) for name, stream in second.streams.items()
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_split_seed_changes_the_merged_test_set(protocol):
    test_sets = [union(ids(PROTOCOLS[protocol](split="merged", split_seed=seed).test_stream)) for seed in (0, 1)]
    assert test_sets[0] != test_sets[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("split", ["official", "merged"])
def test_a_replay_memory_holds_training_samples_of_past_experiences_only(protocol, split):
    benchmark = build(protocol, split, 0.2, "sample")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(60, 4))
    replay = ReplayPlugin(mem_size=30)
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01),
        train_mb_size=32,
        eval_mb_size=64,
        plugins=[replay],
        evaluator=None,
    )
    trained = set()
    for experience in benchmark.train_stream:
        strategy.train(experience)
        strategy.eval(benchmark.valid_stream)
        strategy.eval(benchmark.test_stream)
        trained.update(experience.dataset.sample_ids)
        memory = replay.storage_policy.buffer
        assert len(memory) == 30
        assert set(memory.sample_ids) <= trained
        held = contents(memory[index][0] for index in range(30))
        assert held == [CONTENT_OF_SAMPLE[sample] for sample in memory.sample_ids]
    assert not trained & union(ids(benchmark.valid_stream) + ids(benchmark.test_stream))
