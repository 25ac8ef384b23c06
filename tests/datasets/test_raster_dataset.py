from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from avalanche_snn.datasets import RasterDataset

RASTERS = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


def make(**changes: Any) -> RasterDataset:
    options: dict[str, Any] = {
        "rasters": RASTERS,
        "targets": [0, 1, 2, 1, 0],
        "speakers": [7, 7, 8, 8, 9],
        "class_names": ["a", "b", "c"],
        "name": "Mine",
        "split": "train",
    }
    return RasterDataset(**(options | changes))


def test_a_sample_is_float_and_holds_the_counts() -> None:
    dataset = make()

    raster, target = dataset[3]

    assert (raster.dtype, raster.shape, target) == (torch.float32, (4, 3), 1)
    assert type(target) is int
    np.testing.assert_array_equal(raster.numpy(), RASTERS[3])
    assert len(dataset) == 5


def test_many_samples_at_once_equal_them_one_by_one() -> None:
    dataset = make()

    for indices in ([4, 0, 4], np.array([4, 0, 4]), torch.tensor([4, 0, 4])):
        batch = dataset.rasters_of(indices)
        assert batch.dtype == torch.float32
        assert torch.equal(batch, torch.stack([dataset[4][0], dataset[0][0], dataset[4][0]]))
    assert dataset.rasters_of([]).shape == (0, 4, 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64])
def test_rasters_come_in_the_dtype_asked_for(dtype: torch.dtype) -> None:
    dataset = make(dtype=dtype)
    for other in (dataset, pickle.loads(pickle.dumps(dataset))):
        assert other.dtype == other[2][0].dtype == other.rasters_of([2]).dtype == dtype
        np.testing.assert_array_equal(other.rasters_of([4, 2]).numpy(), RASTERS[[4, 2]])
        np.testing.assert_array_equal(other[2][0].numpy(), RASTERS[2])
    assert dataset.stored_rasters_of([2]).dtype == torch.uint8


def test_what_is_given_out_can_be_written_to() -> None:
    dataset = make(dtype=torch.uint8)
    for raster in (dataset[1][0], dataset.rasters_of([1])[0], dataset.stored_rasters_of([1])[0]):
        raster.zero_()
    np.testing.assert_array_equal(dataset[1][0].numpy(), RASTERS[1])


def test_what_rasters_take_without_loss() -> None:
    rasters = np.zeros((3, 40, 1), np.uint8)
    # By hand in the tests of the code 'rice': nothing but a header, 9 bits of gaps, 15 bits of gaps and counts.
    rasters[1, [2, 3, 9], 0] = 1
    rasters[2, [2, 3, 9], 0] = 1, 3, 2
    dataset = make(rasters=rasters, targets=[0, 1, 2], speakers=None)
    for other in (dataset, pickle.loads(pickle.dumps(dataset))):
        assert other.code_bytes([1, -1, 1]).tolist() == [3, 3, 3]
        assert other.code_bytes([0, 1, 2]).tolist() == [1, 3, 3]
        assert other.code_bytes([]).tolist() == []


def test_a_mask_is_no_indices() -> None:
    with pytest.raises(TypeError, match=r"integer indices were wanted, bool came"):
        make().rasters_of(np.array([True, False, True, False, False]))


def test_an_index_outside_is_an_error() -> None:
    with pytest.raises(IndexError):
        make().rasters_of([5])


def test_what_a_data_set_knows_of_itself() -> None:
    dataset = make(duration_ms=700, n_dropped_events=3)

    assert (dataset.n_time_steps, dataset.n_channels, dataset.duration_ms) == (4, 3, 700.0)
    assert dataset.targets == [0, 1, 2, 1, 0]
    assert dataset.speakers.tolist() == [7, 7, 8, 8, 9]
    assert dataset.speakers.dtype == np.int64
    assert repr(dataset) == (
        "Mine(train: 5 samples of 4 time steps over 700 ms x 3 channels, 3 classes, 0 samples empty, 3 events dropped)"
    )


def test_empty_samples_are_counted() -> None:
    rasters = RASTERS.copy()
    rasters[[1, 4]] = 0

    assert make(rasters=rasters).n_empty_samples == 2


def test_nobody_writes_into_the_rasters_but_their_owner() -> None:
    rasters = RASTERS.copy()
    dataset = make(rasters=rasters)

    with pytest.raises(ValueError, match="read-only"):
        dataset.rasters[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(dataset)).rasters[0, 0, 0] = 1
    rasters[0, 0, 0] = 1


def test_the_digest_depends_on_rasters_targets_and_speakers() -> None:
    changed = RASTERS.copy()
    changed[4, 3, 2] ^= 1

    variants = [make(), make(rasters=changed), make(targets=[0, 1, 2, 1, 1]), make(speakers=[7, 7, 8, 8, 8])]

    assert len({dataset.sha256 for dataset in variants}) == 4
    assert make().sha256 == make().sha256
    assert make(sha256="given").sha256 == "given"


def test_speakers_may_be_left_out() -> None:
    assert make(speakers=None).speakers.tolist() == [0, 0, 0, 0, 0]


def test_copies_hold_the_same() -> None:
    dataset = make()

    for other in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        np.testing.assert_array_equal(other.rasters, RASTERS)
        assert (other.targets, other.sha256, repr(other)) == (dataset.targets, dataset.sha256, repr(dataset))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"rasters": RASTERS.astype(np.float32)}, TypeError, "numpy array of uint8 was wanted, float32 came"),
        ({"rasters": RASTERS.tolist()}, TypeError, "numpy array of uint8 was wanted, list came"),
        ({"rasters": RASTERS[0]}, ValueError, r"\[samples, time steps, channels\] was wanted, \[4, 3\] came"),
        ({"targets": [0, 1]}, ValueError, r"targets: one for each of the 5 rasters was wanted, \[2\] came"),
        ({"speakers": [0] * 6}, ValueError, r"speakers: one for each of the 5 rasters was wanted, \[6\] came"),
        ({"targets": [0.5, 0, 0, 0, 0]}, TypeError, "targets: integers were wanted, float64 came"),
        ({"targets": [0, 1, 3, 1, 0]}, ValueError, "classes 0 to 2 were wanted, .* 0 to 3 came"),
        ({"targets": [0, 1, -1, 1, 0]}, ValueError, "classes 0 to 2 were wanted, .* -1 to 1 came"),
        ({"dtype": torch.int32}, TypeError, "torch.uint8, .* was wanted, torch.int32 came"),
        ({"rasters": None}, TypeError, "rasters and targets were wanted, or a raster file"),
        ({"targets": None}, TypeError, "rasters and targets were wanted, or a raster file"),
    ],
)
def test_arrays_that_do_not_fit_together(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**changes)
