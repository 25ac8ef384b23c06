"""A data set in the likeness of SHD, with speakers that are in the test file only, small enough for the fast tier."""

from __future__ import annotations

import numpy as np

from avalanche_snn.datasets import RasterDataset


def tiny_file(
    split: str,
    *,
    n_classes: int = 4,
    speakers: tuple[int, ...] = (0, 1, 2, 3),
    n_each: int = 5,
    shape: tuple[int, int] = (6, 10),
    name: str = "Tiny",
) -> RasterDataset:
    """`n_each` random samples of each class by each speaker, in random order; no two rasters are alike."""
    generator = np.random.default_rng([n_classes, n_each, *map(ord, split)])
    targets = np.repeat(np.arange(n_classes), len(speakers) * n_each)
    spoken_by = np.tile(np.repeat(speakers, n_each), n_classes)
    order = generator.permutation(len(targets))
    rasters = generator.integers(0, 4, size=(len(targets), *shape), dtype=np.uint8)
    return RasterDataset(
        rasters,
        targets[order],
        spoken_by[order],
        class_names=[f"word {label}" for label in range(n_classes)],
        name=name,
        split=split,
    )


def tiny_files(**options: int) -> tuple[RasterDataset, RasterDataset]:
    """A train file of speakers 0-3 and a test file of speakers 0-5: as SHD, with 4 and 5 in the test file only."""
    return (
        tiny_file("train", n_each=10, **options),
        tiny_file("test", n_each=6, speakers=(0, 1, 2, 3, 4, 5), **options),
    )
