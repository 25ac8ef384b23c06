"""CIFAR-100 as incremental streams, on small files of its form."""

from __future__ import annotations

import shutil
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_cifar100 import N_TEST, N_TRAIN, write_small_cifar100
from torchvision import datasets

from avalanche_snn.benchmarks import CIFAR100Incremental
from avalanche_snn.datasets import CIFAR100


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cifar100(tmp_path_factory.mktemp("data"))


def samples(experience: object) -> tuple[torch.Tensor, list[int]]:
    dataset = experience.dataset.eval()
    return torch.stack([sample[0] for sample in dataset]), [int(sample[1]) for sample in dataset]


def test_images_are_those_of_the_files(root: Path) -> None:
    train = CIFAR100(root)
    assert train.images.shape == (100 * N_TRAIN, 3, 32, 32)
    assert train.images.dtype == torch.uint8
    image, label = train[7]
    assert label == train.targets[7]
    assert image.float().mean() == pytest.approx(49.5 + label, abs=4)
    assert train.classes[42] == "class42"
    assert train.sha256 != CIFAR100(root, train=False).sha256


def test_b0_and_b50_in_the_order_of_arrival(root: Path) -> None:
    b0 = CIFAR100Incremental(10, dataset_root=root)
    assert [len(experience.dataset) for experience in b0.train_stream] == [10 * N_TRAIN] * 10
    assert [sorted(experience.classes_in_this_experience) for experience in b0.train_stream] == [
        list(range(first, first + 10)) for first in range(0, 100, 10)
    ]
    b50 = CIFAR100Incremental(5, n_base_classes=50, dataset_root=root)
    assert [len(experience.dataset) for experience in b50.test_stream] == [50 * N_TEST] + [10 * N_TEST] * 5
    order = np.random.default_rng(0).permutation(100).tolist()
    assert b0.class_order == order == b50.class_order
    assert b0.class_names[:2] == [f"class{label:02d}" for label in order[:2]]
    assert CIFAR100Incremental(10, class_order=1, dataset_root=root).class_order != order
    # A new label stands for its original class: the images are as bright as that.
    data = CIFAR100(root)
    images, labels = samples(b0.train_stream[3])
    restored = images * torch.tensor([0.2673, 0.2564, 0.2762]).view(3, 1, 1)
    restored = 255 * (restored + torch.tensor([0.5071, 0.4865, 0.4409]).view(3, 1, 1))
    for image, label in zip(restored, labels, strict=True):
        of_class = [data.images[i] for i, target in enumerate(data.targets) if target == order[label]]
        assert min((image - other).abs().max() for other in of_class) < 1e-3


def test_a_small_one_and_one_with_validation(root: Path) -> None:
    small = CIFAR100Incremental(2, n_classes=4, class_order=list(range(99, -1, -1)), dataset_root=root)
    assert small.class_names == ["class99", "class98", "class97", "class96"]
    assert len(small.train_stream) == 2
    assert CIFAR100Incremental(class_order=np.int64(3), dataset_root=root).class_order == (
        CIFAR100Incremental(class_order=3, dataset_root=root).class_order
    )
    held = CIFAR100Incremental(2, n_classes=4, validation=1 / 3, dataset_root=root)
    assert [len(experience.dataset) for experience in held.train_stream] == [8, 8]
    assert [len(experience.dataset) for experience in held.valid_stream] == [4, 4]
    assert [stream.name for stream in (held.train_stream, held.valid_stream, held.test_stream)] == [
        "train",
        "valid",
        "test",
    ]
    assert set(held.streams) == {"train", "valid", "test"}
    for one, other, test in zip(held.train_stream, held.valid_stream, held.test_stream, strict=True):
        trained, validated, tested = samples(one)[0], samples(other)[0], samples(test)[0]
        for image in (*validated, *tested):
            assert not (image == trained).flatten(1).all(dim=1).any()


def test_training_crops_and_flips_and_evaluation_does_not(root: Path) -> None:
    dataset = CIFAR100Incremental(10, dataset_root=root).train_stream[0].dataset
    torch.manual_seed(0)
    assert not torch.equal(dataset.train()[0][0], dataset.train()[0][0])
    assert torch.equal(dataset.eval()[0][0], dataset.eval()[0][0])


def test_errors_say_what_was_wanted(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="50 classes cannot be learned in 3 equal steps"):
        CIFAR100Incremental(3, n_base_classes=50, dataset_root=root)
    with pytest.raises(ValueError, match="100 base classes and 10 steps with 100 classes in all cannot be"):
        CIFAR100Incremental(10, n_base_classes=100, dataset_root=root)
    with pytest.raises(ValueError, match="as a seed or as the labels 0 to 99"):
        CIFAR100Incremental(10, class_order=[1, 2], dataset_root=root)
    with pytest.raises(ValueError, match="validation is a share"):
        CIFAR100Incremental(10, validation=1.0, dataset_root=root)
    with pytest.raises(FileNotFoundError, match="which lacks train, test, meta: download=True fetches it"):
        CIFAR100(tmp_path, download=False)


def test_what_torchvision_fetches_is_used_and_kept(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(self: Any) -> None:
        shutil.copytree(root / "cifar-100-python", Path(self.root) / "cifar-100-python")

    monkeypatch.setattr(datasets.CIFAR100, "download", fetch)
    monkeypatch.setattr(datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr(datasets.CIFAR100, "meta", {**datasets.CIFAR100.meta, "md5": None})
    fetched = CIFAR100(tmp_path, train=False)
    assert torch.equal(fetched.images, CIFAR100(root, train=False).images)
    assert sorted(path.name for path in (tmp_path / "cifar-100-python").iterdir()) == ["meta", "test", "train"]
    monkeypatch.setattr(datasets.CIFAR100, "download", lambda self: pytest.fail("fetched once more"))
    assert len(CIFAR100(tmp_path, train=True)) == len(CIFAR100(root, train=True))


def test_a_download_that_breaks_off_says_what_to_do_and_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(self: Any) -> None:
        folder = Path(self.root) / "cifar-100-python"
        folder.mkdir()
        shutil.copy(root / "cifar-100-python" / "train", folder)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(datasets.CIFAR100, "download", break_off)
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded .*no route to host.* AVALANCHE_SNN_DATA"):
        CIFAR100(tmp_path)
    assert list((tmp_path / "cifar-100-python").iterdir()) == []
