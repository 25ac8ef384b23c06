"""A few images of noise in the files of CIFAR-100, each class a little brighter than the one before."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

N_TRAIN, N_TEST = 6, 2


def write_small_cifar100(root: Path) -> Path:
    """Write `cifar-100-python` into a folder, samples in no order of classes."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, n_each in (("train", N_TRAIN), ("test", N_TEST)):
        labels = generator.permutation(np.repeat(np.arange(100), n_each))
        noise = generator.integers(0, 100, (len(labels), 3072))
        content = {"data": (noise + labels[:, None]).astype(np.uint8), "fine_labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(content))
    names = {"fine_label_names": [f"class{label:02d}" for label in range(100)]}
    (folder / "meta").write_bytes(pickle.dumps(names))
    return root
