from __future__ import annotations

import inspect
import os

import h5py
import numpy as np
import pytest
from avalanche.benchmarks import NCScenario, NIScenario

from avalanche_snn import benchmarks
from avalanche_snn.benchmarks import (
    SHDClassIncremental,
    SHDMultiClassIncremental,
    SHDSampleIncremental,
    SplitSHD,
    SplitSyntheticSpokenDigits,
    SyntheticClassIncremental,
    SyntheticMultiClassIncremental,
    SyntheticSampleIncremental,
    split_classes,
)
from avalanche_snn.datasets import SHD

SHD_BENCHMARKS = [SplitSHD, SHDClassIncremental, SHDMultiClassIncremental, SHDSampleIncremental]
SYNTHETIC_BENCHMARKS = [
    SplitSyntheticSpokenDigits,
    SyntheticClassIncremental,
    SyntheticMultiClassIncremental,
    SyntheticSampleIncremental,
]
SMALL = {"n_time_steps": 20, "n_channels": 70}


def call(function, **options):
    positional = (5,) if function in (SplitSHD, SplitSyntheticSpokenDigits) else ()
    return function(*positional, **options)


def write_shd_file(path, speakers, n_each, seed):
    """A file in SHD's own format: every speaker says every word `n_each` times, in some thirty spikes."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(20), len(speakers) * n_each)
    spoken_by = np.tile(np.repeat(speakers, n_each), 20)
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", len(labels), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", len(labels), h5py.vlen_dtype(np.uint16))
        for sample in range(len(labels)):
            n_spikes = int(generator.integers(20, 40))
            times[sample] = np.sort(generator.uniform(0, 1.3, n_spikes)).astype(np.float16)
            units[sample] = generator.integers(0, 700, n_spikes)
        file["labels"] = labels.astype(np.uint16)
        file["extra/speaker"] = spoken_by.astype(np.uint16)
        file["extra/keys"] = np.array([f"word {label}" for label in range(20)], dtype="S")


@pytest.fixture(scope="module")
def shd_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    (root / "SHD").mkdir()
    seen = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    write_shd_file(root / "SHD" / "shd_train.h5", seen, 2, seed=0)
    write_shd_file(root / "SHD" / "shd_test.h5", range(12), 1, seed=1)
    return root


@pytest.fixture(scope="module")
def synthetic_root(generated_words):
    return generated_words


def classes(benchmark):
    return [sorted(experience.classes_in_this_experience) for experience in benchmark.train_stream]


def test_shd_benchmarks_have_the_published_experiences(shd_root):
    assert [len(labels) for labels in classes(SplitSHD(4, dataset_root=shd_root, **SMALL))] == [5, 5, 5, 5]
    assert classes(SHDClassIncremental(dataset_root=shd_root, **SMALL)) == [list(range(19)), [19]]
    assert classes(SHDMultiClassIncremental(dataset_root=shd_root, **SMALL)) == [
        list(range(10)),
        *([label] for label in range(10, 20)),
    ]
    by_speaker = SHDSampleIncremental(dataset_root=shd_root, **SMALL)
    assert by_speaker.speakers_in_experience == [[0, 1, 2, 3, 6, 7, 8, 9, 10], [11]]
    assert set(by_speaker.unseen_stream[0].dataset.speakers) == {4, 5}
    merged = SHDSampleIncremental(dataset_root=shd_root, split="merged", new_speaker=4, **SMALL)
    assert merged.speakers_in_experience == [[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11], [4]]


@pytest.mark.parametrize("speaker", [4, 5])
def test_speakers_of_the_shd_test_file_cannot_be_learned(speaker, shd_root):
    with pytest.raises(ValueError, match=f"speaker {speaker} is only in the test data of split='official'"):
        SHDSampleIncremental(new_speaker=speaker, dataset_root=shd_root, **SMALL)


@pytest.mark.parametrize("function", SHD_BENCHMARKS)
def test_every_option_of_the_data_reaches_them(function, shd_root):
    options = {"n_time_steps": 25, "n_channels": 70, "duration_ms": 900.0, "binary": True}
    benchmark = call(function, dataset_root=shd_root, validation=0.5, **options)
    files = [SHD(shd_root, train=train, **options) for train in (True, False)]
    rasters = np.concatenate([file.rasters for file in files])
    assert rasters.max() == 1
    assert rasters.shape[1:] == (25, 70)
    for stream in benchmark.streams.values():
        dataset = stream[0].dataset
        for index in (0, len(dataset) - 1):
            np.testing.assert_array_equal(dataset[index][0].numpy(), rasters[dataset.sample_ids[index]])
    assert (benchmark.dataset_name, benchmark.n_time_steps, benchmark.n_channels) == ("SHD", 25, 70)
    assert benchmark.class_names == [f"word {label}" for label in range(20)]


def test_shd_is_found_where_the_environment_says(shd_root, monkeypatch):
    monkeypatch.setenv("AVALANCHE_SNN_DATA", str(shd_root))
    named = SHDClassIncremental(dataset_root=shd_root, **SMALL)
    assert SHDClassIncremental(**SMALL).dataset_sha256 == named.dataset_sha256


def test_the_named_benchmark_is_the_protocol_on_the_files(shd_root):
    files = [SHD(shd_root, train=train, **SMALL) for train in (True, False)]
    options = {"seed": 5, "split": "merged", "split_seed": 2, "validation": 0.3, "return_task_id": True}
    ours, theirs = SplitSHD(10, dataset_root=shd_root, **options, **SMALL), split_classes(*files, 10, **options)
    for name, stream in theirs.streams.items():
        for expected, experience in zip(stream, ours.streams[name], strict=True):
            assert list(experience.dataset.sample_ids) == list(expected.dataset.sample_ids)
            assert experience.task_label == expected.task_label


@pytest.mark.parametrize("function", [*SHD_BENCHMARKS, *SYNTHETIC_BENCHMARKS])
def test_options_reach_the_protocol(function, shd_root, synthetic_root):
    synthetic = function in SYNTHETIC_BENCHMARKS
    root = {"dataset_root": synthetic_root, "n_samples_per_class": 24} if synthetic else {"dataset_root": shd_root}
    options = {"return_task_id": True, "shuffle": True, "seed": 3, "split": "merged", "split_seed": 4}
    benchmark = call(
        function,
        **options,
        **root,
        **SMALL,
        validation=0.3,
        train_transform=lambda x: x + 1000,
        eval_transform=lambda x: x - 1000,
    )
    assert isinstance(benchmark, NIScenario if "Sample" in function.__name__ else NCScenario)
    assert (benchmark.split, benchmark.split_seed) == ("merged", 4)
    assert [experience.task_label for experience in benchmark.valid_stream] == list(range(benchmark.n_experiences))
    assert benchmark.train_stream[0].dataset[0][0].min() >= 1000
    assert benchmark.valid_stream[0].dataset[0][0].max() < 0
    again = call(function, **options, **root, **SMALL, validation=0.3)
    other_seed = call(function, **{**options, "seed": 4}, **root, **SMALL, validation=0.3)
    if isinstance(benchmark, NCScenario):
        assert benchmark.classes_order == again.classes_order != other_seed.classes_order
    other_split = call(function, **{**options, "split_seed": 6}, **root, **SMALL, validation=0.3)
    held_out = [
        {sample for experience in each.valid_stream for sample in experience.dataset.sample_ids}
        for each in (benchmark, again, other_seed, other_split)
    ]
    assert held_out[0] == held_out[1] == held_out[2] != held_out[3]


@pytest.mark.parametrize("function", [SplitSHD, SHDClassIncremental, SHDMultiClassIncremental])
@pytest.mark.parametrize("relabel", ["class_ids_from_zero_in_each_exp", "class_ids_from_zero_from_first_exp"])
def test_classes_can_be_relabelled_and_ordered(function, relabel, shd_root):
    order = [*range(18, -1, -1), 19]
    benchmark = call(function, fixed_class_order=order, dataset_root=shd_root, **SMALL, **{relabel: True})
    assert benchmark.classes_order_original_ids == order
    last = benchmark.train_stream[benchmark.n_experiences - 1]
    places = sorted(order.index(label) for label in benchmark.original_classes_in_exp[-1])
    first_place = places[0] if relabel == "class_ids_from_zero_in_each_exp" else 0
    assert sorted(last.classes_in_this_experience) == [place - first_place for place in places]


@pytest.mark.parametrize("function", SYNTHETIC_BENCHMARKS)
def test_synthetic_data_never_go_by_the_name_of_shd(function, synthetic_root):
    benchmark = call(function, dataset_root=synthetic_root, n_samples_per_class=24, **SMALL)
    assert benchmark.dataset_name == "SyntheticSpokenDigits"
    assert len(benchmark.class_names) == 20
    assert sum(len(e.dataset) for e in benchmark.train_stream) < 480


def test_data_seed_changes_the_data_and_seed_does_not(synthetic_root):
    def sha256(**seeds):
        options = {"dataset_root": synthetic_root, "n_samples_per_class": 24, **SMALL}
        return SplitSyntheticSpokenDigits(5, **seeds, **options).dataset_sha256

    assert sha256(seed=0) == sha256(seed=1) != sha256(seed=0, data_seed=1)


@pytest.mark.parametrize(("ours", "synthetic"), list(zip(SHD_BENCHMARKS, SYNTHETIC_BENCHMARKS, strict=True)))
def test_synthetic_benchmarks_take_the_same_options(ours, synthetic):
    parameters = dict(inspect.signature(synthetic).parameters)
    assert parameters.pop("n_samples_per_class").default == 144
    assert parameters.pop("data_seed").default == 0
    assert list(parameters.values()) == list(inspect.signature(ours).parameters.values())


@pytest.mark.parametrize("name", benchmarks.__all__)
def test_options_are_keywords_and_documented(name):
    function = getattr(benchmarks, name)
    kinds = {
        parameter.name: parameter.kind
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("train", "test", "n_experiences", "n_steps")
    }
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}
    of_speakers = {"return_task_id", "seed", "shuffle", "split", "split_seed", "validation_by"}
    assert {"validation", *(of_speakers if name != "CIFAR100Incremental" else ())} <= set(kinds)
    assert function.__doc__


@pytest.mark.slow
@pytest.mark.skipif("AVALANCHE_SNN_DATA" not in os.environ, reason="AVALANCHE_SNN_DATA does not say where SHD is")
class TestRealSHD:
    def test_official_split(self):
        benchmark = SHDSampleIncremental(validation=0.1)
        assert benchmark.class_names[0] == "zero"
        assert benchmark.class_names[19] == "neun"
        sizes = {name: [len(e.dataset) for e in stream] for name, stream in benchmark.streams.items()}
        # 8156 training samples, 998 of them by speaker 11; 2264 test samples, 1840 of them by speakers 4 and 5.
        assert sum(sizes["train"] + sizes["valid"]) == 8156
        assert sizes["train"][1] + sizes["valid"][1] == 998
        assert sizes["test"] == [372, 52]
        assert sizes["unseen"] == [1840]
        assert abs(sum(sizes["valid"]) - 815.6) <= 10

    @pytest.mark.parametrize("function", SHD_BENCHMARKS)
    def test_merged_split_loses_and_repeats_nothing(self, function):
        benchmark = call(function, split="merged", seed=1, validation=0.1)
        ids = {
            name: [sample for experience in stream for sample in experience.dataset.sample_ids]
            for name, stream in benchmark.streams.items()
        }
        assert sorted(ids["train"] + ids["valid"] + ids["test"]) == list(range(10420))
        assert len(ids["test"]) == 2084
        x, y, task = benchmark.test_stream[0].dataset[0]
        assert (tuple(x.shape), task) == ((100, 700), 0)
        assert y in benchmark.test_stream[0].classes_in_this_experience
