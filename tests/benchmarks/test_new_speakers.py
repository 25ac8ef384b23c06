from __future__ import annotations

import numpy as np
import pytest
import torch
from avalanche.benchmarks import NIScenario
from tiny_rasters import tiny_file, tiny_files

from avalanche_snn.benchmarks import sample_incremental

TRAIN, TEST = tiny_files()
TEST_ONLY = {4, 5}


def speakers(benchmark, stream="train"):
    return [set(experience.dataset.speakers) for experience in benchmark.streams[stream]]


def test_one_speaker_is_learned_after_the_others():
    benchmark = sample_incremental(TRAIN, TEST, new_speaker=1)
    assert isinstance(benchmark, NIScenario)
    assert speakers(benchmark) == speakers(benchmark, "test") == [{0, 2, 3}, {1}]
    assert benchmark.speakers_in_experience == [[0, 2, 3], [1]]
    assert [len(experience.dataset) for experience in benchmark.train_stream] == [120, 40]
    assert [len(experience.dataset) for experience in benchmark.test_stream] == [72, 24]


def test_speakers_of_the_test_file_form_a_stream_of_their_own():
    benchmark = sample_incremental(TRAIN, TEST, new_speaker=1)
    assert speakers(benchmark, "unseen") == [TEST_ONLY]
    assert len(benchmark.unseen_stream) == 1
    assert len(benchmark.unseen_stream[0].dataset) == 48
    assert sorted(benchmark.unseen_stream[0].classes_in_this_experience) == [0, 1, 2, 3]


def test_merged_split_trains_and_tests_all_speakers():
    benchmark = sample_incremental(TRAIN, TEST, new_speaker=5, split="merged")
    assert speakers(benchmark) == speakers(benchmark, "test") == [{0, 1, 2, 3, 4}, {5}]
    assert "unseen" not in benchmark.streams


def test_one_speaker_an_experience():
    benchmark = sample_incremental(TRAIN, TEST, new_speaker=0, n_experiences=3)
    assert speakers(benchmark) == speakers(benchmark, "test") == [{1, 2}, {3}, {0}]
    all_alone = sample_incremental(TRAIN, TEST, new_speaker=0, n_experiences=4)
    assert speakers(all_alone) == [{1}, {2}, {3}, {0}]


def test_shuffling_moves_all_but_the_new_speaker():
    orders = [
        sample_incremental(TRAIN, TEST, new_speaker=2, n_experiences=4, shuffle=True, seed=seed).speakers_in_experience
        for seed in range(6)
    ]
    assert {tuple(order[-1]) for order in orders} == {(2,)}
    assert len({str(order) for order in orders}) > 1
    again = sample_incremental(TRAIN, TEST, new_speaker=2, n_experiences=4, shuffle=True, seed=0)
    assert again.speakers_in_experience == orders[0]


def test_global_random_state_is_untouched():
    before = torch.get_rng_state()
    sample_incremental(TRAIN, TEST, new_speaker=2, shuffle=True, split="merged", validation=0.2)
    sample_incremental(TRAIN, TEST, new_speaker=2, shuffle=True, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("return_task_id", [False, True])
def test_streams_are_in_step(return_task_id):
    benchmark = sample_incremental(
        TRAIN, TEST, new_speaker=0, n_experiences=3, validation=0.2, return_task_id=return_task_id
    )
    assert speakers(benchmark, "valid") == speakers(benchmark)
    tasks = [0, 1, 2] if return_task_id else [0, 0, 0]
    for name in ("train", "test", "valid"):
        for index, experience in enumerate(benchmark.streams[name]):
            assert type(experience) is type(benchmark.train_stream[0])
            assert experience.benchmark is benchmark
            assert experience.current_experience == index
            assert experience.task_label == tasks[index]
            assert set(experience.dataset.targets_task_labels) == {tasks[index]}
            x, y, task = experience.dataset[0]
            assert x.shape == (6, 10)
            assert y == experience.dataset.targets[0]
            assert task == tasks[index]
            assert sorted(experience.classes_in_this_experience) == [0, 1, 2, 3]
            assert sorted(experience.previous_classes) == ([] if index == 0 else [0, 1, 2, 3])
    unseen = benchmark.unseen_stream[0]
    assert unseen.task_label == unseen.dataset[0][2] == (3 if return_task_id else 0)
    assert benchmark.n_classes == 4
    assert benchmark.n_experiences == 3


def test_validation_holds_out_its_fraction_of_every_class_and_speaker():
    benchmark = sample_incremental(TRAIN, TEST, new_speaker=1, validation=0.2)
    counts = np.zeros((4, 4), dtype=int)
    for experience in benchmark.valid_stream:
        np.add.at(counts, (list(experience.dataset.targets), list(experience.dataset.speakers)), 1)
    np.testing.assert_array_equal(counts, np.full((4, 4), 2))


def test_train_and_eval_transforms():
    benchmark = sample_incremental(
        TRAIN, TEST, new_speaker=1, train_transform=lambda x: x + 10, eval_transform=lambda x: x - 10, validation=0.2
    )
    rasters = np.concatenate([TRAIN.rasters, TEST.rasters]).astype(np.float32)
    for name, shift in (("train", 10), ("test", -10), ("valid", -10), ("unseen", -10)):
        for experience in benchmark.streams[name]:
            dataset = experience.dataset
            np.testing.assert_array_equal(dataset[3][0].numpy(), rasters[dataset.sample_ids[3]] + shift)
            np.testing.assert_array_equal(dataset.eval()[3][0].numpy(), rasters[dataset.sample_ids[3]] - 10)


def test_targets_and_speakers_are_those_of_the_files():
    benchmark = sample_incremental(TRAIN, TEST, new_speaker=1, split="merged", validation=0.2)
    targets = TRAIN.targets + TEST.targets
    spoken_by = np.concatenate([TRAIN.speakers, TEST.speakers])
    for stream in benchmark.streams.values():
        for experience in stream:
            dataset = experience.dataset
            assert list(dataset.targets) == [targets[sample] for sample in dataset.sample_ids]
            assert list(dataset.speakers) == [spoken_by[sample] for sample in dataset.sample_ids]


@pytest.mark.parametrize("speaker", sorted(TEST_ONLY))
def test_speakers_of_the_test_file_cannot_be_learned_on_the_official_split(speaker):
    message = (
        rf"speaker {speaker} is only in the test data of split='official' \(benchmark.unseen_stream\), so it "
        r"cannot be learned; take one of the training speakers \[0, 1, 2, 3\], or split='merged'"
    )
    with pytest.raises(ValueError, match=message):
        sample_incremental(TRAIN, TEST, new_speaker=speaker)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"new_speaker": 12}, r"new_speaker must be one of the training speakers \[0, 1, 2, 3\], not 12"),
        ({"n_experiences": 1}, "n_experiences must lie between 2 and 4, the number of training speakers, not 1"),
        ({"n_experiences": 5}, "n_experiences must lie between 2 and 4, the number of training speakers, not 5"),
        (
            {"validation": 0.2, "validation_by": "speaker"},
            "cannot hold out a speaker of an experience",
        ),
        ({"validation": 1.5}, "0 <= validation < 1, not 1.5"),
        ({"validation_by": "class"}, "validation_by must be 'sample' or 'speaker', not 'class'"),
        ({"split": "random"}, "split must be 'official' or 'merged', not 'random'"),
    ],
)
def test_what_cannot_be_built_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        sample_incremental(TRAIN, TEST, **{"new_speaker": 1, **options})


def test_a_speaker_without_test_samples_is_named():
    with pytest.raises(ValueError, match=r"speakers \[1\] have no test sample"):
        sample_incremental(TRAIN, tiny_file("test", speakers=(0, 2, 3)), new_speaker=1)


def test_a_class_without_training_samples_is_named():
    train = tiny_file("train")
    train.targets = [3 if target == 1 else target for target in train.targets]
    with pytest.raises(ValueError, match=r"every class from 0 on must have training samples, but only \[0, 2, 3\]"):
        sample_incremental(train, TEST, new_speaker=1)
