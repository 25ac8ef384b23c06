"""A memory of compressed exemplars that owns its bytes and never holds more of them than its budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from avalanche_snn.spikes import TimeCodec, make_codec
from avalanche_snn.training.memory_size import BudgetTooSmallError
from avalanche_snn.training.packed_rows import PackedRows
from avalanche_snn.training.selection import Selection

_INDEX_COLUMNS = 3  # class label, task label, samples seen so far
_SHORTEST_ROW = 1
_CHUNK = 256
GroupKey = tuple[int, int]


@dataclass(frozen=True)
class Candidates:
    """New samples offered to the memory.

    Attributes:
        labels: class label of each sample.
        task_labels: task label of each sample.
        latents: gives the latents `[n, T, H]` (float, whole numbers) of the samples at the positions it is called with.
    """

    labels: Sequence[int]
    task_labels: Sequence[int]
    latents: Callable[[list[int]], Tensor]

    def by_group(self) -> dict[GroupKey, list[int]]:
        """Return the positions of the samples of each class and task."""
        groups: dict[GroupKey, list[int]] = {}
        for position, key in enumerate(zip(self.labels, self.task_labels, strict=True)):
            groups.setdefault((int(key[0]), int(key[1])), []).append(position)
        return groups


class ExemplarMemory:
    """Compressed exemplars, grouped by class (and task label), within a budget of bytes.

    Every group has the same share of the bytes; what a group cannot fill goes to the others. When new classes
    arrive, the old groups are cut first and the new one is filled afterwards, so that the budget holds at every moment.

    Args:
        budget: bytes, everything included; None for no limit.
        codec: how exemplars are stored.
        selection: which samples are kept.
    """

    def __init__(self, budget: int | None, codec: TimeCodec, selection: Selection) -> None:
        self.budget = budget
        self.codec = codec
        self.selection = selection
        self._index = torch.zeros((0, _INDEX_COLUMNS), dtype=torch.int64)
        self._groups: list[PackedRows] = []
        self._length_dtype = _length_dtype(codec)
        self._longest_row = 0

    def __len__(self) -> int:
        """Return the number of exemplars."""
        return sum(len(rows) for rows in self._groups)

    @property
    def nbytes(self) -> int:
        """Bytes held: packed exemplars, lengths of rows where they differ, and the labels and counts of each group."""
        return self._index.nbytes + sum(rows.nbytes for rows in self._groups)

    @property
    def keys(self) -> list[GroupKey]:
        """The groups, as (class label, task label)."""
        return [(int(label), int(task)) for label, task in self._index[:, :2]]

    @property
    def counts(self) -> dict[GroupKey, int]:
        """Exemplars held of each group."""
        return dict(zip(self.keys, (len(rows) for rows in self._groups), strict=True))

    @property
    def n_seen(self) -> dict[GroupKey, int]:
        """Samples of each group that were offered so far, kept or not."""
        return dict(zip(self.keys, self._index[:, 2].tolist(), strict=True))

    def expect(self, examples: Tensor) -> None:
        """Look at latents `[n, T, H]` of the kind that will come: how many bytes do they take?"""
        if self.codec.variable_length and len(examples):
            self._longest_row = max(self._longest_row, int(self._packed(examples).row_bytes().max()))

    def least_budget(self, n_groups: int) -> int:
        """Return the bytes that hold one exemplar of each of `n_groups` groups.

        Where rows have different lengths, each is taken to be as long as the longest that was expected, and as the
        shortest that there can be where none was.
        """
        row = self.codec.max_row_bytes
        if self._length_dtype is not None:
            row = self._longest_row or _SHORTEST_ROW + self._length_dtype.itemsize
        return n_groups * (row + self._index.element_size() * _INDEX_COLUMNS)

    def require_room_for(self, n_groups: int) -> None:
        """Raise BudgetTooSmallError when the budget is too small for one exemplar of each of `n_groups` groups."""
        if self.budget is not None and self.budget < self.least_budget(n_groups):
            raise self._too_small(n_groups)

    def _too_small(self, n_groups: int) -> BudgetTooSmallError:
        least = self.least_budget(n_groups)
        return BudgetTooSmallError(
            f"A memory of {self.budget} bytes is too small for one exemplar of each of {n_groups} classes with the "
            f"code {self.codec.spec!r}: at least {least} bytes are needed. Give more memory, a stronger code, "
            "or cut the network at a smaller layer.",
            least,
        )

    def update(self, candidates: Candidates) -> None:
        """Offer new samples to the memory; it keeps a balanced choice of old and new within the budget.

        Raises:
            BudgetTooSmallError: the budget is too small for one exemplar of each group, old and new. Nothing has
                changed then.
        """
        new_groups = candidates.by_group()
        old_keys = self.keys
        keys = old_keys + sorted(key for key in new_groups if key not in old_keys)
        self.require_room_for(len(keys))
        offered = {key: self._encode(candidates, positions) for key, positions in new_groups.items()}
        wanted = dict.fromkeys(keys, 0)
        for key, rows in (*zip(old_keys, self._groups, strict=True), *offered.items()):
            wanted[key] += int(rows.row_bytes().sum())
        quotas = self._quotas(wanted)
        self._require_a_row_each(quotas, offered)
        n_seen = self.n_seen
        kept_new: dict[GroupKey, PackedRows] = {}
        no_rows = torch.zeros(0, dtype=torch.int64)
        # Rows of different lengths leave some of a quota over, which the next group may use.
        left_over = 0
        for number, key in enumerate(keys):
            old = self._groups[number].row_bytes() if number < len(old_keys) else no_rows
            new = offered[key].row_bytes() if key in offered else no_rows
            quota = min(wanted[key], quotas[key] + left_over)
            kept, entering = self.selection.merge(old, new, n_seen.get(key, 0), quota)
            left_over += quotas[key] - int(old[kept].sum() + new[entering].sum())
            if len(kept) < len(old):
                self._replace(number, self._groups[number].keep(kept))
            if key in offered:
                kept_new[key] = offered[key].keep(entering)
        # Only now, with every old group as small as it will be, does anything grow.
        for key, rows in kept_new.items():
            if key in old_keys:
                group = old_keys.index(key)
                self._index[group, 2] += len(new_groups[key])
                arrangement = self.selection.arrange(len(self._groups[group]), len(rows))
                self._replace(group, self._groups[group].append(rows).keep(arrangement))
            else:
                entry = torch.tensor([[key[0], key[1], len(new_groups[key])]], dtype=torch.int64)
                self._index = torch.cat((self._index, entry))
                self._groups.append(self._empty_rows())
                self._replace(len(self._groups) - 1, rows)

    def _require_a_row_each(self, quotas: dict[GroupKey, int], offered: dict[GroupKey, PackedRows]) -> None:
        """Raise BudgetTooSmallError where not even the shortest row of a group fits: longer ones than expected came."""
        shortest: dict[GroupKey, int] = {}
        for key, rows in (*zip(self.keys, self._groups, strict=True), *offered.items()):
            if len(rows):
                shortest[key] = min(int(rows.row_bytes().min()), shortest.get(key, self.codec.max_row_bytes + 8))
        if any(n_bytes > quotas[key] for key, n_bytes in shortest.items()):
            self._longest_row = max(shortest.values())
            raise self._too_small(len(quotas))

    def draw(self, n: int, shares: Tensor, generator: torch.Generator) -> Tensor:
        """Draw exemplars, each group in proportion to its share.

        Args:
            n: how many.
            shares: float64 `[G]`, in the order of `keys`, summing to 1.
            generator: of the draw.

        Returns:
            Their numbers int64 `[n]`: exemplars are numbered from 0, group after group.
        """
        counts = _systematic_counts(n, shares, generator).tolist()
        sizes = [len(rows) for rows in self._groups]
        starts = accumulate(sizes, initial=0)
        return torch.cat(
            [
                _draw_rows(size, count, generator) + start
                for start, size, count in zip(starts, sizes, counts, strict=False)
                if count
            ]
        )

    def restore(self, numbers: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Restore exemplars: latents `[n, T, H]`.

        Args:
            numbers: of the exemplars, int64 `[n]`, those of a group with a lower number first.
            dtype: of the result.
        """
        groups, rows = self._places_of(numbers)
        matrices = [self._groups[group].take(rows[groups == group]) for group in torch.unique(groups).tolist()]
        return self.codec.decode(_stack(matrices), dtype)

    def labels_of(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return class label and task label of exemplars of these numbers: int64 `[n]` each."""
        labels, task_labels, _ = self._index[self._places_of(numbers)[0]].unbind(1)
        return labels, task_labels

    def all_latents(self) -> tuple[Tensor, Tensor]:
        """Restore every exemplar: latents float32 `[n, T, H]` and class labels int64 `[n]`."""
        numbers = torch.arange(len(self))
        if not len(numbers):
            return self.codec.decode(torch.zeros((0, self.codec.max_row_bytes), dtype=torch.uint8)), numbers
        return self.restore(numbers), self.labels_of(numbers)[0]

    def recode(self, codec: TimeCodec) -> None:
        """Store everything under a code of the same name with room for larger values; what no longer fits is dropped.

        Raises:
            BudgetTooSmallError: the budget is too small for one exemplar of each group. Nothing has changed then.
        """
        old, self.codec = self.codec, codec
        try:
            self.require_room_for(len(self._groups))
        except ValueError:
            self.codec = old
            raise
        if codec.variable_length:
            return  # rows of this code say by themselves how large their values are
        width = codec.max_row_bytes
        wanted = {key: count * width for key, count in self.counts.items()}
        quotas = self._quotas(wanted)
        # Every group is cut before any row grows: the budget holds at every moment.
        for group, (key, rows) in enumerate(zip(self.keys, list(self._groups), strict=True)):
            if quotas[key] < wanted[key]:
                self._replace(group, rows.keep(self.selection.shorten(len(rows), quotas[key] // width)))
        for group, rows in enumerate(list(self._groups)):
            self._replace(group, self._packed(old.decode(rows.take(torch.arange(len(rows))))))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that is held, byte for byte, and the code that it is held in."""
        codec = self.codec
        return {
            "codec": [codec.spec, codec.n_time_steps, codec.n_features, codec.max_count],
            "index": self._index,
            "groups": [[rows.data, rows.lengths, rows.width] for rows in self._groups],
            "longest_row": self._longest_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Hold what another memory held."""
        self.codec = make_codec(*state["codec"])
        self._length_dtype = _length_dtype(self.codec)
        self._index = state["index"]
        self._longest_row = state["longest_row"]
        self._groups = [PackedRows(*rows) for rows in state["groups"]]

    def _places_of(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return the group of each exemplar, and its row there."""
        sizes = torch.tensor([len(rows) for rows in self._groups], dtype=torch.int64)
        ends = sizes.cumsum(0)
        groups = torch.searchsorted(ends, numbers, right=True)
        return groups, numbers - (ends - sizes)[groups]

    def _replace(self, group: int, rows: PackedRows) -> None:
        """Put other rows in the place of a group's: the one place where the memory's bytes change."""
        self._groups[group] = rows

    def _empty_rows(self) -> PackedRows:
        lengths = None if self._length_dtype is None else torch.zeros(0, dtype=self._length_dtype)
        return PackedRows(torch.zeros(0, dtype=torch.uint8), lengths, self.codec.max_row_bytes)

    def _packed(self, latents: Tensor) -> PackedRows:
        matrix = self.codec.encode(latents)
        return PackedRows.of(matrix, self.codec.row_bytes(matrix), self.codec.max_row_bytes, self._length_dtype)

    def _encode(self, candidates: Candidates, positions: list[int]) -> PackedRows:
        """Encode the samples of one group, in the order in which they would be kept."""
        order = self.selection.order(candidates.latents, positions)
        rows = self._empty_rows()
        for start in range(0, len(order), _CHUNK):
            rows = rows.append(self._packed(candidates.latents(order[start : start + _CHUNK])))
        return rows

    def _quotas(self, wanted: dict[GroupKey, int]) -> dict[GroupKey, int]:
        """Share the budget out among groups that want so many bytes: equally, the rest of one to the others."""
        if self.budget is None:
            return wanted
        left = self.budget - len(wanted) * self._index.element_size() * _INDEX_COLUMNS
        fixed_row = None if self._length_dtype is not None else self.codec.max_row_bytes
        quotas: dict[GroupKey, int] = {}
        for position, key in enumerate(sorted(wanted, key=lambda key: (wanted[key], key))):
            n_left = len(wanted) - position
            share = left // n_left
            if fixed_row is not None:
                # Whole rows only, or the remainder of every share would be lost.
                share = -(-(left // fixed_row) // n_left) * fixed_row
            quotas[key] = min(wanted[key], share)
            left -= quotas[key]
        return quotas


def _length_dtype(codec: TimeCodec) -> torch.dtype | None:
    """Return the dtype that holds the length of a row, None where all rows have the same length."""
    if not codec.variable_length:
        return None
    # int16 would do up to 32 767 bytes; torch's uint16 lacks most operations. Values may yet grow to whole bytes.
    return torch.int16 if codec.n_time_steps * codec.n_features + 1 < 2**15 else torch.int32


def _stack(matrices: list[Tensor]) -> Tensor:
    widest = max(matrix.shape[1] for matrix in matrices)
    return torch.cat([torch.nn.functional.pad(matrix, (0, widest - matrix.shape[1])) for matrix in matrices])


def _systematic_counts(n: int, shares: Tensor, generator: torch.Generator) -> Tensor:
    """Split n into whole numbers whose expectations are n * shares and that differ from them by less than one."""
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    ends = torch.cumsum(shares, 0) * n
    ends[-1] = n
    return torch.diff(torch.floor(ends + offset), prepend=torch.floor(offset)).to(torch.int64)


def _draw_rows(n_rows: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw row numbers as evenly as possible: without replacement as long as there are rows left."""
    drawn = torch.randperm(n_rows, generator=generator)[: count % n_rows]
    if count < n_rows:
        return drawn
    return torch.cat((torch.arange(n_rows).repeat(count // n_rows), drawn))
