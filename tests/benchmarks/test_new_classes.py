from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from avalanche.benchmarks import NCScenario, nc_benchmark
from tiny_rasters import tiny_file, tiny_files

from avalanche_snn.benchmarks import class_incremental, multi_class_incremental, split_classes

TRAIN, TEST = tiny_files(n_classes=6)


def classes(benchmark, stream="train"):
    return [sorted(experience.classes_in_this_experience) for experience in benchmark.streams[stream]]


def test_split_gives_every_experience_as_many_classes():
    benchmark = split_classes(TRAIN, TEST, 3, shuffle=False)
    assert isinstance(benchmark, NCScenario)
    assert classes(benchmark) == classes(benchmark, "test") == [[0, 1], [2, 3], [4, 5]]
    assert benchmark.n_classes == 6
    assert benchmark.n_classes_per_exp == [2, 2, 2]


def test_split_is_shuffled_unless_asked_otherwise():
    orders = {tuple(split_classes(TRAIN, TEST, 6, seed=seed).classes_order) for seed in range(5)}
    assert len(orders) > 1
    assert split_classes(TRAIN, TEST, 6, shuffle=False).classes_order == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("seed", [0, 1, 1234])
def test_class_order_of_a_seed_is_the_one_of_avalanche(seed):
    with torch.random.fork_rng(devices=[]):
        theirs = nc_benchmark(TRAIN, TEST, n_experiences=3, task_labels=False, seed=seed)
    assert split_classes(TRAIN, TEST, 3, seed=seed).classes_order == theirs.classes_order


def test_global_random_state_is_read_without_a_seed_but_never_changed():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = split_classes(TRAIN, TEST, 6).classes_order
    split_classes(TRAIN, TEST, 6, seed=3, split="merged", validation=0.2)
    assert torch.equal(torch.get_rng_state(), before)
    theirs = nc_benchmark(TRAIN, TEST, n_experiences=6, task_labels=False).classes_order
    assert first == theirs
    assert not torch.equal(torch.get_rng_state(), before)


def test_numpy_random_state_is_untouched():
    np.random.seed(7)  # noqa: NPY002
    split_classes(TRAIN, TEST, 3, seed=0, split="merged", validation=0.2)
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    assert drawn == np.random.random()  # noqa: NPY002


def test_fixed_class_order_is_kept_and_what_it_leaves_out_is_left_out():
    benchmark = split_classes(TRAIN, TEST, 2, fixed_class_order=[5, 0, 3, 1])
    assert classes(benchmark) == classes(benchmark, "test") == [[0, 5], [1, 3]]
    assert sum(len(experience.dataset) for experience in benchmark.train_stream) == 4 * 40


def test_class_incremental_learns_one_class_last():
    benchmark = class_incremental(TRAIN, TEST, n_pretrain_classes=5, new_class=2)
    assert classes(benchmark) == classes(benchmark, "test") == [[0, 1, 3, 4, 5], [2]]


def test_class_incremental_with_fewer_classes_before():
    benchmark = class_incremental(TRAIN, TEST, n_pretrain_classes=3, new_class=1)
    assert classes(benchmark) == [[0, 2, 3], [4], [5], [1]]


def test_class_incremental_shuffles_all_but_the_new_class():
    orders = [
        class_incremental(TRAIN, TEST, n_pretrain_classes=2, new_class=1, shuffle=True, seed=seed).classes_order
        for seed in range(5)
    ]
    assert {order[-1] for order in orders} == {1}
    assert len({tuple(order) for order in orders}) > 1
    assert all(sorted(order) == list(range(6)) for order in orders)


def test_class_incremental_in_a_fixed_order():
    order = [3, 5, 4, 0, 1]
    benchmark = class_incremental(TRAIN, TEST, n_pretrain_classes=3, new_class=1, fixed_class_order=order)
    assert classes(benchmark) == [[3, 4, 5], [0], [1]]


def test_multi_class_incremental_goes_in_label_order():
    benchmark = multi_class_incremental(TRAIN, TEST, n_pretrain_classes=3)
    assert classes(benchmark) == classes(benchmark, "test") == [[0, 1, 2], [3], [4], [5]]
    shuffled = multi_class_incremental(TRAIN, TEST, n_pretrain_classes=3, shuffle=True, seed=0)
    assert shuffled.classes_order == split_classes(TRAIN, TEST, 6, seed=0).classes_order


def test_samples_are_raster_label_and_task_label():
    benchmark = multi_class_incremental(TRAIN, TEST, n_pretrain_classes=3, return_task_id=True, validation=0.2)
    for stream in (benchmark.train_stream, benchmark.test_stream, benchmark.valid_stream):
        for experience in stream:
            x, y, task = experience.dataset[0]
            assert x.shape == (6, 10)
            assert x.dtype == torch.float32
            assert type(y) is int
            assert y == experience.dataset.targets[0]
            assert y in experience.classes_in_this_experience
            assert task == experience.task_label == experience.current_experience
            assert set(experience.dataset.targets_task_labels) == {experience.current_experience}


def test_task_labels_are_zero_by_default():
    benchmark = split_classes(TRAIN, TEST, 3, validation=0.2)
    for stream in (benchmark.train_stream, benchmark.test_stream, benchmark.valid_stream):
        assert [experience.task_labels for experience in stream] == [[0], [0], [0]]
        assert {experience.dataset[1][2] for experience in stream} == {0}


@pytest.mark.parametrize("by", ["sample", "speaker"])
@pytest.mark.parametrize(
    "relabel", [{}, {"class_ids_from_zero_from_first_exp": True}, {"class_ids_from_zero_in_each_exp": True}]
)
def test_valid_stream_is_in_step_with_the_train_stream(by, relabel):
    benchmark = split_classes(TRAIN, TEST, 3, seed=4, return_task_id=True, validation=0.25, validation_by=by, **relabel)
    assert len(benchmark.valid_stream) == 3
    assert benchmark.streams["valid"] is benchmark.valid_stream
    assert benchmark.n_classes == 6
    for train, test, valid in zip(benchmark.train_stream, benchmark.test_stream, benchmark.valid_stream, strict=True):
        assert type(valid) is type(train)
        assert valid.benchmark is benchmark
        assert valid.origin_stream.name == "valid"
        for attribute in ("current_experience", "task_label", "task_labels"):
            assert getattr(train, attribute) == getattr(valid, attribute) == getattr(test, attribute)
        for attribute in ("classes_in_this_experience", "previous_classes", "classes_seen_so_far", "future_classes"):
            assert sorted(getattr(train, attribute)) == sorted(getattr(valid, attribute))
        assert set(train.dataset.targets) == set(valid.dataset.targets) == set(test.dataset.targets)


def test_relabelled_classes_are_served_relabelled_in_every_stream():
    benchmark = split_classes(
        TRAIN, TEST, 3, fixed_class_order=[5, 4, 3, 2, 1, 0], class_ids_from_zero_from_first_exp=True, validation=0.2
    )
    labels = np.array(TRAIN.targets + TEST.targets)
    for stream in benchmark.streams.values():
        for experience in stream:
            for index, sample in enumerate(experience.dataset.sample_ids):
                assert experience.dataset[index][1] == experience.dataset.targets[index] == 5 - labels[sample]
    assert benchmark.class_names == [f"word {label}" for label in range(6)]


def test_without_validation_there_is_no_valid_stream():
    benchmark = split_classes(TRAIN, TEST, 3)
    assert sorted(benchmark.streams) == ["test", "train"]
    assert not hasattr(benchmark, "valid_stream")


def test_train_and_eval_transforms():
    benchmark = split_classes(
        TRAIN, TEST, 3, train_transform=lambda x: x + 10, eval_transform=lambda x: x - 10, validation=0.2
    )
    rasters = np.concatenate([TRAIN.rasters, TEST.rasters]).astype(np.float32)
    for name, shift in (("train", 10), ("test", -10), ("valid", -10)):
        for experience in benchmark.streams[name]:
            sample = rasters[experience.dataset.sample_ids[3]]
            np.testing.assert_array_equal(experience.dataset[3][0].numpy(), sample + shift)
            np.testing.assert_array_equal(experience.dataset.eval()[3][0].numpy(), sample - 10)
            np.testing.assert_array_equal(experience.dataset.train()[3][0].numpy(), sample + 10)


def test_benchmark_says_which_data_it_holds():
    benchmark = split_classes(TRAIN, TEST, 3, split="merged", split_seed=5)
    assert benchmark.dataset_name == "Tiny"
    assert (benchmark.split, benchmark.split_seed) == ("merged", 5)
    assert (benchmark.n_time_steps, benchmark.n_channels) == (6, 10)
    assert len(benchmark.dataset_sha256) == 64
    other_test = tiny_file("test", n_classes=6, n_each=3, speakers=(0, 1, 2, 3, 4, 5))
    assert benchmark.dataset_sha256 == class_incremental(TRAIN, TEST, n_pretrain_classes=5, new_class=5).dataset_sha256
    assert benchmark.dataset_sha256 != split_classes(TRAIN, other_test, 3).dataset_sha256


def test_attributes_follow_samples_through_subset_and_concatenation():
    benchmark = split_classes(TRAIN, TEST, 3, shuffle=False)
    first, second = (experience.dataset for experience in benchmark.train_stream[:2])
    mixed = second.subset([3, 1]).concat(first.subset([2]))
    assert list(mixed.sample_ids) == [second.sample_ids[3], second.sample_ids[1], first.sample_ids[2]]
    assert list(mixed.speakers) == [TRAIN.speakers[sample] for sample in mixed.sample_ids]
    assert len(mixed[0]) == 3


def test_a_copy_serves_the_same():
    benchmark = class_incremental(TRAIN, TEST, n_pretrain_classes=5, new_class=2, validation=0.2)
    twin = copy.deepcopy(benchmark)
    assert list(twin.streams) == ["train", "test", "valid"]
    for name, stream in benchmark.streams.items():
        for experience, copy_of_it in zip(stream, twin.streams[name], strict=True):
            assert list(experience.dataset.sample_ids) == list(copy_of_it.dataset.sample_ids)
            assert torch.equal(experience.dataset[0][0], copy_of_it.dataset[0][0])


def test_data_sets_of_experiences_can_be_sent_to_workers():
    dataset = split_classes(TRAIN, TEST, 3, seed=0).train_stream[1].dataset
    received = pickle.loads(pickle.dumps(dataset))
    assert list(received.sample_ids) == list(dataset.sample_ids)
    assert torch.equal(received[0][0], dataset[0][0])
    assert received[0][1:] == dataset[0][1:]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: split_classes(TRAIN, TEST, 4), "n_experiences must divide the 6 classes evenly, 4 does not"),
        (lambda: split_classes(TRAIN, TEST, 0), "n_experiences must divide the 6 classes evenly, 0 does not"),
        (lambda: split_classes(TRAIN, TEST, 2, fixed_class_order=[0, 0]), r"names a class twice: \[0, 0\]"),
        (lambda: split_classes(TRAIN, TEST, 2, fixed_class_order=[0, 6]), r"names classes \[6\], but the data have"),
        (lambda: split_classes(TRAIN, TEST, 2, split="test"), "split must be 'official' or 'merged', not 'test'"),
        (lambda: split_classes(TRAIN, TEST, 2, validation=2), "0 <= validation < 1, not 2"),
        (
            lambda: class_incremental(TRAIN, TEST, n_pretrain_classes=5, new_class=6),
            r"new_class must be one of the classes \[0, 1, 2, 3, 4, 5\], not 6",
        ),
        (
            lambda: class_incremental(TRAIN, TEST, n_pretrain_classes=1, new_class=0, fixed_class_order=[0, 1]),
            r"fixed_class_order must end with new_class=0, which is learned last, but is \[0, 1\]",
        ),
        (
            lambda: class_incremental(TRAIN, TEST, n_pretrain_classes=6, new_class=0),
            "n_pretrain_classes must leave at least one of the 6 classes to learn later, .* not 6",
        ),
        (lambda: multi_class_incremental(TRAIN, TEST, n_pretrain_classes=0), "1 <= n_pretrain_classes <= 5, not 0"),
        (lambda: split_classes(TEST, TRAIN, 2), "wanted the train data, then the test data, not 'test', then 'train'"),
        (
            lambda: split_classes(TRAIN, tiny_file("test", n_classes=6, shape=(6, 9)), 2),
            r"must be of one data set, but their raster shapes \[T, C\] differ: \(6, 10\) and \(6, 9\)",
        ),
        (
            lambda: split_classes(TRAIN, tiny_file("test", n_classes=6, name="Other"), 2),
            "their names differ: Tiny and Other",
        ),
    ],
)
def test_what_cannot_be_built_is_said(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_class_without_test_samples_is_named():
    test = tiny_file("test", n_classes=6)
    test.targets = [0 if target == 4 else target for target in test.targets]
    with pytest.raises(ValueError, match="class 4 has no test sample"):
        split_classes(TRAIN, test, 3)
