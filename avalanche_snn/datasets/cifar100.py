"""CIFAR-100 as tensors: 60 000 images of 32 x 32 pixels in 100 classes (Krizhevsky 2009)."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import datasets

from avalanche_snn.datasets.downloads import unfinished
from avalanche_snn.datasets.locations import dataset_root
from avalanche_snn.datasets.shd_file import sha256_of

_FILES = ("train", "test", "meta")
_ELSEWHERE = (
    "dataset_root= (root=) names the folder that holds cifar-100-python; so does the environment variable "
    "AVALANCHE_SNN_DATA"
)


class _Unchecked(datasets.CIFAR100):
    """torchvision's reader for files whose samples may stand in another order than in the official ones."""

    # Without a checksum each: (name, None).
    train_list = [["train", None]]  # noqa: RUF012 - as torchvision has it
    test_list = [["test", None]]  # noqa: RUF012
    meta = {"filename": "meta", "key": "fine_label_names", "md5": None}  # noqa: RUF012


class LabelledImages(Dataset[tuple[Tensor, int]]):
    """Images in memory, with their labels.

    Args:
        images: uint8 `[N, C, H, W]`.
        targets: N labels.
    """

    def __init__(self, images: Tensor, targets: list[int]) -> None:
        self.images = images
        self.targets = targets

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image and its label."""
        return self.images[index], self.targets[index]


class CIFAR100(LabelledImages):
    """Images uint8 `[3, 32, 32]` with their fine labels, 0 to 99, held in memory (154 MB of training images).

    Files are read from `<root>/cifar-100-python/`, in any order of samples; where they are not, torchvision downloads
    the official ones (169 MB) if that is allowed.

    Args:
        root: folder that holds `cifar-100-python`, see `dataset_root`.
        train: the 50 000 images for training, or the 10 000 of the test.
        download: fetch what is missing.

    Attributes:
        images: uint8 `[N, 3, 32, 32]`.
        targets: labels, a list.
        classes: names of the 100 classes.
        sha256: of the file.

    Raises:
        FileNotFoundError: files are missing and may not, or could not, be downloaded.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, *, train: bool = True, download: bool = True
    ) -> None:
        folder = dataset_root(root)
        files = folder / datasets.CIFAR100.base_folder
        if missing := [name for name in _FILES if not (files / name).is_file()]:
            if not download:
                raise FileNotFoundError(
                    f"CIFAR-100 was wanted in {files}, which lacks {', '.join(missing)}: download=True fetches it; "
                    f"{_ELSEWHERE}"
                )
            _fetch(files)
        found = _Unchecked(str(folder), train=train)
        images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
        super().__init__(images, [int(label) for label in found.targets])
        self.classes: list[str] = list(found.classes)
        self.sha256 = sha256_of(files / ("train" if train else "test"))


def _fetch(files: Path) -> None:
    """Have torchvision download, verify and unpack the official files, and put them in their folder.

    Raises:
        FileNotFoundError: the download failed, or the folder cannot be written to; says what to do instead.
    """
    with unfinished(files, partial(_failure, files)) as within:
        datasets.CIFAR100(str(within), download=True)
        for name in _FILES:
            os.replace(within / datasets.CIFAR100.base_folder / name, files / name)


def _failure(files: Path, reason: str) -> str:
    return (
        f"CIFAR-100 was wanted in {files} and could not be downloaded ({reason}). Try again with an internet "
        f"connection, or unpack {datasets.CIFAR100.filename} from https://www.cs.toronto.edu/~kriz/cifar.html in "
        f"{files.parent}; {_ELSEWHERE}"
    )
