"""Whole batches against samples read one by one: the same minibatches, draws and weights, on every kind of dataset."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.benchmarks.utils.classification_dataset import (
    ClassificationDataset,
    TaskAwareSupervisedClassificationDataset,
)
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from avalanche.benchmarks.utils.data_loader import ReplayDataLoader, TaskBalancedDataLoader
from avalanche.training.plugins import AGEMPlugin, EWCPlugin, GDumbPlugin, GEMPlugin, LwFPlugin, ReplayPlugin
from avalanche.training.supervised import DER, ER_ACE, Cumulative, Naive
from tiny_learners import learn, seed_everything, tiny_strategy
from tiny_rasters import tiny_files
from torch import nn
from torch.utils.data import DataLoader, Subset, default_collate
from torchvision.transforms import Compose

from avalanche_snn.benchmarks import class_incremental, multi_class_incremental, sample_incremental
from avalanche_snn.benchmarks.whole_batches import UnreadSample, WholeBatches, collate_samples, with_whole_batches
from avalanche_snn.datasets import RasterDataset
from avalanche_snn.spikes import ChannelShift, EventDrop, TimeShift


def plus_one(raster):
    """An ordinary transform: for one raster."""
    assert raster.dim() == 2
    return raster + 1


class Doubled:
    """A transform for batches, which says so and notes what it was given."""

    takes_batches = True

    def __init__(self):
        self.dimensions = []

    def __call__(self, rasters):
        self.dimensions.append(rasters.dim())
        return rasters * 2


def stream(**options):
    """Three experiences whose samples are from the train file and the test file, in turn."""
    options = {"n_pretrain_classes": 2, "split": "merged", **options}
    return multi_class_incremental(*tiny_files(), **options).train_stream


def attribute(name, values, **options):
    return DataAttribute(values, name, **options)


def with_logits(dataset):
    """As DER stores them: a tensor beside every sample."""
    logits = list(torch.arange(3.0 * len(dataset)).view(-1, 3))
    return dataset.update_data_attribute("logits", attribute("logits", logits, use_in_getitem=True))


TREES = {
    "an experience": lambda: stream()[1].dataset,
    "evaluation": lambda: stream(eval_transform=plus_one)[1].dataset.eval(),
    "a transform of one raster": lambda: stream(train_transform=plus_one)[0].dataset,
    "a transform of batches": lambda: stream(train_transform=Doubled())[0].dataset,
    "a chain of transforms": lambda: stream(train_transform=Compose([Doubled(), plus_one]))[0].dataset,
    "frozen transforms": lambda: stream(train_transform=plus_one)[0].dataset.freeze_transforms(),
    "replaced transforms": lambda: stream(train_transform=plus_one)[0].dataset.replace_current_transform_group(
        Doubled()
    ),
    "a subset": lambda: stream()[0].dataset.subset([7, 3, 3, 60, 0, 41, 9, 12, 80]),
    "a subset of a subset": lambda: stream()[0].dataset.subset(range(50, 5, -2)).subset(torch.arange(20).flip(0)),
    "a concatenation": lambda: stream()[0].dataset.concat(stream()[1].dataset),
    "parts of experiences": lambda: (lambda s: s[2].dataset.subset([4, 1]).concat(s[0].dataset.subset([9, 2, 5])))(
        stream()
    ),
    "the same part twice": lambda: (lambda d: d.concat(d))(stream()[1].dataset.subset([3, 1, 2, 0, 4])),
    "task labels": lambda: (lambda s: s[0].dataset.concat(s[1].dataset))(stream(return_task_id=True)),
    "classes from zero": lambda: stream(class_ids_from_zero_in_each_exp=True)[1].dataset,
    "speakers": lambda: sample_incremental(*tiny_files(), new_speaker=3).train_stream[0].dataset,
    "logits beside samples": lambda: with_logits(stream()[0].dataset),
    "uint8": lambda: class_incremental(*bytes_files(), n_pretrain_classes=3, new_class=3).train_stream[0].dataset,
    "one's own reading": lambda: with_whole_batches(as_classification_dataset(Halved(*tiny_arrays(), **NAMES))),
    "any other data": lambda: with_whole_batches(as_classification_dataset(Listed())),
}
NAMES = {"class_names": ["a", "b"], "name": "Mine", "split": "train"}


class Halved(RasterDataset):
    """A data set that does not give what it stores."""

    def __getitem__(self, index):
        raster, target = super().__getitem__(index)
        return raster / 2, target


class Listed(torch.utils.data.Dataset):
    """Any other data set; its samples are tuples of a vector, a label, and a number."""

    targets = [0, 1] * 45

    def __len__(self):
        return 90

    def __getitem__(self, index):
        return torch.full((4,), float(index)), self.targets[index], index / 2


def tiny_arrays():
    rasters = np.random.default_rng(0).integers(0, 9, (90, 4, 5), dtype=np.uint8)
    return rasters, np.arange(90) % 2


def bytes_files():
    return [
        RasterDataset(
            file.rasters,
            file.targets,
            file.speakers,
            class_names=file.class_names,
            name=file.name,
            split=file.split,
            dtype=torch.uint8,
        )
        for file in tiny_files()
    ]


def ordinary(dataset):
    """The same dataset as Avalanche would have it."""
    kind = ClassificationDataset if isinstance(dataset, ClassificationDataset) else None
    return (kind or TaskAwareSupervisedClassificationDataset)([dataset], collate_fn=default_collate)


def assert_equal(minibatch, expected):
    assert type(minibatch) is list
    assert len(minibatch) == len(expected)
    for values, wanted in zip(minibatch, expected, strict=True):
        assert (values.dtype, values.shape) == (wanted.dtype, wanted.shape)
        assert torch.equal(values, wanted)


def some_indices(dataset, n=40):
    return torch.randperm(len(dataset), generator=torch.Generator().manual_seed(1))[:n].tolist()


@pytest.mark.parametrize("name", TREES)
def test_a_batch_is_the_samples_one_by_one(name):
    dataset = TREES[name]()
    assert isinstance(dataset, WholeBatches)
    indices = some_indices(dataset)
    samples = [ordinary(dataset)[index] for index in indices]
    assert not any(isinstance(sample, UnreadSample) for sample in samples)
    expected = default_collate(samples)

    assert_equal(dataset.collate_fn([dataset[index] for index in indices]), expected)
    assert_equal(collate_samples(dataset.__getitems__(indices)), expected)
    # Whoever does not know of batches.
    assert_equal(default_collate([dataset[index] for index in indices]), expected)
    assert_equal(default_collate(dataset.__getitems__(indices)), expected)
    assert_equal(next(iter(DataLoader(Subset(dataset, indices), batch_size=len(indices)))), expected)


@pytest.mark.parametrize("name", TREES)
def test_a_pickled_or_copied_dataset_reads_the_same(name):
    dataset = TREES[name]()
    indices = some_indices(dataset)
    expected = dataset.read_samples(np.asarray(indices)).collated()
    for other in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset), copy.copy(dataset)):
        assert type(other) is type(dataset)
        assert_equal(other.collate_fn([other[index] for index in indices]), expected)


def test_a_pickle_has_nothing_of_what_was_kept_while_reading():
    dataset = stream()[0].dataset
    before = pickle.dumps(dataset)
    dataset.read_samples(np.arange(20))
    # 120 samples: an array of their indices has 960 bytes.
    assert len(pickle.dumps(dataset)) < len(before) + 200


def test_transforms_get_batches_only_if_they_say_so():
    doubled = Doubled()
    dataset = stream(train_transform=Compose([doubled, Doubled()]))[0].dataset
    dataset.collate_fn([dataset[index] for index in range(10)])
    assert doubled.dimensions == [3]
    dataset[0][0]
    assert doubled.dimensions == [3, 2]
    mixed = stream(train_transform=Compose([doubled, plus_one]))[0].dataset
    mixed.collate_fn([mixed[index] for index in range(10)])
    assert doubled.dimensions == [3, 2] + [2] * 10


def test_a_single_sample_looks_like_any_other():
    dataset = stream()[1].dataset
    expected = ordinary(dataset)[5]
    sample = dataset[5]
    raster, target, task_label = sample
    assert torch.equal(raster, expected[0])
    assert (target, task_label, len(sample), type(sample[1])) == (*expected[1:], 3, int)
    assert repr(sample[1:]) == repr(expected[1:])
    more = ["more"]
    assert type(sample + more) is list
    sample.append("more")
    sample[1] = "other"
    del sample[0]
    assert sample[:] == ["other", 0, "more"]
    assert type(copy.copy(sample)) is type(pickle.loads(pickle.dumps(sample))) is list
    assert sum(1 for _ in dataset) == len(dataset)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_a_changed_sample_goes_into_the_minibatch_as_it_was_changed():
    dataset = stream()[0].dataset
    samples = [dataset[index] for index in range(4)]
    samples[2][0] = torch.full((6, 10), 7.0)
    rasters = dataset.collate_fn(samples)[0]
    assert rasters[2].unique().tolist() == [7]
    assert torch.equal(rasters[3], dataset[3][0])
    samples[2].append(0)
    with pytest.raises(RuntimeError, match="equally many elements"):
        dataset.collate_fn(samples)
    samples[2][0] = torch.zeros(2, 2)
    del samples[2][-1]
    with pytest.raises(RuntimeError, match="equal size"):
        dataset.collate_fn(samples)


def test_a_sample_that_was_looked_at_is_not_drawn_again():
    dataset = stream(train_transform=TimeShift(5))[0].dataset
    samples = [dataset[index] for index in range(12)]
    seen = samples[7][0].clone()
    assert torch.equal(dataset.collate_fn(samples)[0][7], seen)


def test_a_collate_function_of_the_users_own_stays():
    def own(samples):
        return [len(samples), samples[0][0].shape]

    dataset = with_whole_batches(
        TaskAwareSupervisedClassificationDataset([ordinary(stream()[0].dataset)], collate_fn=own)
    )
    assert isinstance(dataset, WholeBatches)
    assert dataset.collate_fn([dataset[0], dataset[1]]) == [2, (6, 10)]
    assert dataset.subset([1]).collate_fn is own


LOADERS = {
    "task balanced": lambda data, other, **o: TaskBalancedDataLoader(data, batch_size=16, shuffle=True, **o),
    "replay": lambda data, other, **o: ReplayDataLoader(data, other, batch_size=9, batch_size_mem=7, shuffle=True, **o),
    "torch": lambda data, other, **o: DataLoader(data, batch_size=16, shuffle=True, **o),
    "with collate_fn": lambda data, other, **o: DataLoader(
        data, batch_size=16, shuffle=True, collate_fn=data.collate_fn, **o
    ),
}


def minibatches(make, data, other, **options):
    torch.manual_seed(3)
    loaded = list(make(data, other, **options))
    return loaded, torch.get_rng_state()


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("name", LOADERS)
def test_every_loader_gives_the_same_minibatches_and_draws_as_much(name, n_workers):
    """Shifts are drawn too: a batch draws what its samples would have drawn one by one."""
    experiences = stream(return_task_id=True, train_transform=ChannelShift(3))
    data = experiences[0].dataset.subset(range(40)).concat(experiences[1].dataset.subset(range(40)))
    other = experiences[2].dataset
    expected = minibatches(LOADERS[name], ordinary(data), ordinary(other), num_workers=n_workers)
    assert_equal_epochs(minibatches(LOADERS[name], data, other, num_workers=n_workers), expected)


def test_a_loader_of_whole_batches_and_others_gives_the_same_minibatches():
    data, other = (experience.dataset for experience in stream(return_task_id=True, train_transform=plus_one)[:2])
    expected = minibatches(LOADERS["replay"], ordinary(data), ordinary(other))
    for first, second in ((data, ordinary(other)), (ordinary(data), other)):
        assert_equal_epochs(minibatches(LOADERS["replay"], first, second), expected)


def assert_equal_epochs(epoch, expected):
    (loaded, state_after), (wanted, state) = epoch, expected
    assert torch.equal(state, state_after)
    assert len(loaded) == len(wanted) > 3
    for minibatch, other in zip(loaded, wanted, strict=True):
        assert_equal(minibatch, other)


@pytest.mark.parametrize("transform", [ChannelShift(4), TimeShift(3), EventDrop(0.3)])
def test_augmented_minibatches_equal_samples_augmented_one_by_one(transform):
    dataset = stream(train_transform=transform)[0].dataset
    torch.manual_seed(0)
    expected = default_collate([ordinary(dataset)[index] for index in range(30)])
    torch.manual_seed(0)
    assert_equal(dataset.collate_fn([dataset[index] for index in range(30)]), expected)
    assert not torch.equal(expected[0], dataset.eval().collate_fn([dataset.eval()[i] for i in range(30)])[0])


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 4))


STRATEGIES = {
    "naive": (Naive, lambda: [], {}),
    "ewc, lwf, replay": (Naive, lambda: [EWCPlugin(5.0), LwFPlugin(1.0, 2.0), ReplayPlugin(12)], {}),
    "gem, agem": (Naive, lambda: [GEMPlugin(6, 0.5), AGEMPlugin(6, 6)], {}),
    "gdumb": (Naive, lambda: [GDumbPlugin(16)], {}),
    "cumulative": (Cumulative, list, {}),
    "der": (DER, list, {"mem_size": 12, "batch_size_mem": 4}),
    "er_ace": (ER_ACE, list, {"mem_size": 12, "batch_size_mem": 4}),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_end_with_the_weights_of_samples_read_one_by_one(name, monkeypatch):
    template, plugins, options = STRATEGIES[name]
    states = []
    for whole in (True, False):
        if not whole:
            monkeypatch.setattr("avalanche_snn.benchmarks.scenarios.with_whole_batches", lambda dataset: dataset)
        benchmark = multi_class_incremental(
            *tiny_files(), n_pretrain_classes=2, split="merged", train_transform=ChannelShift(2)
        )
        assert isinstance(benchmark.train_stream[0].dataset, WholeBatches) == whole
        strategy = tiny_strategy(network(), plugins(), template, **options)
        learn(strategy, benchmark)
        seed_everything()
        states.append((strategy.model.state_dict(), strategy.eval(benchmark.test_stream)))
    (ours, results), (theirs, expected) = states
    assert {key for key in ours if not torch.equal(ours[key], theirs[key])} == set()
    assert results == expected
    assert any(not torch.equal(ours[key], value) for key, value in network().state_dict().items())
