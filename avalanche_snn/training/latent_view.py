"""The data of an experience as a view that serves rasters until latents exist, and latents from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.scenarios import CLExperience
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.data import _FlatDataWithTransform
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from avalanche_snn.benchmarks.sample_batch import SampleBatch
from avalanche_snn.benchmarks.whole_batches import TreeReader, with_whole_batches
from avalanche_snn.training.seeded_draws import seeded_draws

_CHUNK = 256


class LatentCache:
    """The latents of some samples, once they are computed; shared by every view of these samples.

    Attributes:
        stands_for: the samples.
    """

    def __init__(self, samples: _FlatDataWithTransform) -> None:
        self.stands_for = samples
        self._reader = TreeReader()
        self._latents: Tensor | None = None
        self._draws: list[Tensor] = []
        self._others: list[list[Any]] = []

    @property
    def is_filled(self) -> bool:
        """Whether the latents have been computed."""
        return self._latents is not None

    @property
    def latents(self) -> Tensor:
        """Packed latents uint8 `[N, T', ceil(H/8), P]`.

        Raises:
            ValueError: they have not been computed.
        """
        if self._latents is None:
            raise ValueError("These samples have no latents yet: fill the cache first.")
        return self._latents

    @property
    def memory_bytes(self) -> int:
        """Bytes of the packed latents, of all their draws, and one of each label; 0 as long as there are none."""
        if self._latents is None:
            return 0
        return self._latents.nbytes + sum(draw.nbytes for draw in self._draws) + len(self._latents)

    def __len__(self) -> int:
        return len(self.stands_for)

    def read_sample(self, index: int, group_name: str) -> Any:
        """Return one sample: its latents, or its raster under the transforms of a group, and what stands beside it."""
        if self._latents is None:
            return self.stands_for._getitem_recursive_call(index, group_name)
        return [self._chosen(np.array([index]), group_name)[0], *(column[index] for column in self._others)]

    def read_batch(self, indices: NDArray[np.int64], group_name: str) -> SampleBatch:
        """Return many samples: latents once there are some, until then rasters under the transforms of a group.

        Args:
            indices: int64 `[B]`.
            group_name: of the transforms.
        """
        if self._latents is None:
            return self._reader.read(self.stands_for, indices, group_name)
        latents = self._chosen(indices, group_name)
        return SampleBatch([latents, *([column[i] for i in indices.tolist()] for column in self._others)])

    def fill(
        self, encode: Callable[[Tensor], Tensor], device: torch.device, n_augmented: int = 0, seed: int = 0
    ) -> None:
        """Compute the latents of every sample, as the "eval" transforms show it, unless that was done before.

        No data loader is involved, since its iterator would draw from the global random generator and so change the
        run that it is part of.

        Args:
            encode: rasters `[B, T, C]` -> packed latents uint8 `[B, T', ceil(H/8), P]`.
            device: where `encode` wants its rasters.
            n_augmented: how many more latents to compute of each sample, as the "train" transforms show it. Who reads
                a sample for training then gets any of these or the one under the "eval" transforms, each as likely.
            seed: of what those transforms draw; the global random generators stay as they are.
        """
        if self.is_filled:
            return
        latents, others = self._computed(encode, device, "eval")
        if n_augmented:
            with seeded_draws(seed):
                self._draws = [self._computed(encode, device, "train")[0] for _ in range(n_augmented)]
        self._latents, self._others = latents, others

    def _computed(
        self, encode: Callable[[Tensor], Tensor], device: torch.device, group_name: str
    ) -> tuple[Tensor, list[list[Any]]]:
        """Return the latents of every sample under the transforms of a group, and what stands beside the rasters."""
        n_samples = len(self.stands_for)
        chunks: list[Tensor] = []
        others: list[list[Any]] = []
        starts = range(0, n_samples, _CHUNK)
        # disable=None: no bar where standard error is not a terminal.
        for start in tqdm(starts, desc="latents", unit="batch", leave=False, disable=None):
            indices = np.arange(start, min(start + _CHUNK, n_samples))
            batch = self._reader.read(self.stands_for, indices, group_name)
            chunks.append(encode(batch.rasters.to(device)).cpu())
            others = others or [[] for _ in batch.others]
            for column, values in zip(others, batch.others, strict=True):
                column.extend(values)
        return torch.cat(chunks), others

    def _chosen(self, indices: NDArray[np.int64], group_name: str) -> Tensor:
        """Return latents of samples; for training any of their draws, which are as likely."""
        rows = torch.from_numpy(indices)
        found = self.latents.index_select(0, rows)
        if self._draws and group_name == "train":
            which = torch.randint(len(self._draws) + 1, (len(rows),))
            for number, draw in enumerate(self._draws, start=1):
                of_draw = which == number
                found[of_draw] = draw[rows[of_draw]]
        return found


class LatentView(_FlatDataWithTransform):
    """A leaf of an Avalanche dataset that stands for other samples, as rasters or as packed latents.

    Avalanche's buffers concatenate and subset datasets, they do not copy samples. What they hold of a view switches
    from rasters to latents with the view, so rasters and latents never meet in one buffer.

    Rasters pass through the transforms of whichever group ("train", "eval") asks for them; latents are those of the
    rasters under the "eval" transforms, computed once, beside a stated number of draws of the "train" transforms.

    Attributes:
        cache: what all copies of the view (one a transform group) share.
    """

    def __init__(self, samples: _FlatDataWithTransform) -> None:
        # Avalanche walks through all that is below a dataset in every epoch, sample by sample: the walk ends here.
        self.cache = LatentCache(samples)
        super().__init__([self.cache])
        # Flattening would take the cache out of the view.
        self._can_flatten = False
        self._transform_groups.current_group = samples._transform_groups.current_group

    def subset(self, indices: Iterable[int] | None) -> _FlatDataWithTransform:
        """Return a dataset of some of the view's samples, which goes on looking at the view."""
        return _FlatDataWithTransform([self], indices=None if indices is None else list(indices))

    def concat(self, other: Any) -> _FlatDataWithTransform:
        """Return a dataset of the view's samples and others."""
        return _FlatDataWithTransform([self, other])

    def read_batch(self, indices: NDArray[np.int64], group_name: str) -> SampleBatch:
        """Return many samples at once, as `LatentCache.read_batch` does."""
        return self.cache.read_batch(indices, group_name)

    def _getitem_recursive_call(self, idx: int, group_name: str) -> Any:
        return self.cache.read_sample(idx, group_name)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def seen_through_view(experience: CLExperience) -> tuple[CLExperience, LatentCache]:
    """Return a copy of an experience whose dataset, with its labels and attributes, is a view; and the view's cache.

    The experience itself, which belongs to the user's benchmark, stays as it is.

    Raises:
        TypeError: the experience's dataset is not an Avalanche dataset.
    """
    dataset = experience.dataset
    if not isinstance(dataset, AvalancheDataset):
        raise TypeError(
            f"An experience's dataset must be an AvalancheDataset, but {type(dataset).__name__} came: "
            "make it one with avalanche.benchmarks.utils.as_classification_dataset."
        )
    view = LatentView(dataset._flat_data)
    viewed = with_whole_batches(dataset)._shallow_clone_dataset()
    viewed._flat_data = view
    lent = copy(experience)
    # Experiences of Avalanche's newer benchmarks have no setter for it.
    lent._dataset = viewed
    return lent, view.cache
