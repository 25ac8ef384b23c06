"""Time codecs: latent spike trains in as few bytes as asked for, and back."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from avalanche_snn.spikes import rice
from avalanche_snn.spikes.packing import pack, planes_for, require_room_in, unpack, whole_numbers

_ALLOWED = (
    "'bits' (lossless), 'rice' (lossless, shorter for sparse spikes), 'any/W' (one bit for every W time steps, "
    "restored on the first of them), 'any/W/middle' (restored on the middle one) and 'count/W' (the number of spikes "
    "in every W time steps), where W is a whole number of time steps from 1 on, for example 'any/5'"
)
_WINDOW_SPEC = re.compile(r"(?P<keep>any|count)/(?P<window>[1-9][0-9]*)(?P<middle>/middle)?")
# The working memory of the rice code is many times its result.
_RICE_ROWS_AT_ONCE = 128
_LARGEST_RICE = 255


class TimeCodec(ABC):
    """A code for latents `[B, T, H]`: a row of bytes for each sample.

    Attributes:
        spec: the text that `make_codec` made it from.
        n_time_steps: T.
        n_features: H.
        max_count: the largest value that a latent may have, 1 for spikes.
        lossless: whether `decode(encode(latents))` equals `latents` always.
        max_row_bytes: the most bytes that a row takes; all rows take as many unless the code is 'rice'.
    """

    lossless: bool
    max_row_bytes: int
    variable_length: bool = False

    def __init__(self, spec: str, n_time_steps: int, n_features: int, max_count: int) -> None:
        self.spec = spec
        self.n_time_steps = n_time_steps
        self.n_features = n_features
        self.max_count = max_count

    def __repr__(self) -> str:
        return (
            f"make_codec({self.spec!r}, n_time_steps={self.n_time_steps}, n_features={self.n_features}, "
            f"max_count={self.max_count})"
        )

    def encode(self, latents: Tensor) -> Tensor:
        """Code each sample.

        Args:
            latents: `[B, T, H]`, of any float, integer or bool dtype, with integer values from 0 to `max_count`
                ('any/W' takes larger ones too: it keeps only whether a value is zero).

        Returns:
            uint8 `[B, N]` on the same device, N <= max_row_bytes; rows shorter than N are zero padded on the right.

        Raises:
            ValueError: another shape, or a value that is negative, not an integer or too large.
        """
        if latents.dim() != 3 or latents.shape[1:] != (self.n_time_steps, self.n_features):
            raise ValueError(
                f"Codec {self.spec!r} wants latents [B, {self.n_time_steps}, {self.n_features}], "
                f"but a tensor of shape {list(latents.shape)} came."
            )
        return self._encode(latents)

    def decode(self, packed: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Restore latents, or what the code kept of them.

        Args:
            packed: uint8 `[B, N]` as `encode` returned it; rows of a 'rice' code may be cut or zero padded on the
                right to any N from their `row_bytes` on.
            dtype: of the result.

        Returns:
            `[B, T, H]` of `dtype`, on the same device.

        Raises:
            ValueError: another dtype or shape, bytes that are no code of such latents, or a `dtype` too narrow for the
                values that this code restores.
        """
        self._check_packed(packed)
        return self._decode(packed, dtype)

    def row_bytes(self, packed: Tensor) -> Tensor:
        """Return int64 `[B]`: how many bytes of each row of uint8 `[B, N]` must be kept to decode it."""
        self._check_packed(packed)
        return torch.full((len(packed),), self.max_row_bytes, dtype=torch.int64, device=packed.device)

    def _check_packed(self, packed: Tensor) -> None:
        if packed.dtype != torch.uint8 or packed.dim() != 2 or not self._is_row_width(packed.shape[1]):
            raise ValueError(
                f"Codec {self.spec!r} for latents [B, {self.n_time_steps}, {self.n_features}] wants "
                f"uint8 [B, {self._row_width()}], but {packed.dtype} {list(packed.shape)} came."
            )

    def _is_row_width(self, width: int) -> bool:
        return width == self.max_row_bytes

    def _row_width(self) -> str:
        return str(self.max_row_bytes)

    @abstractmethod
    def _encode(self, latents: Tensor) -> Tensor: ...

    @abstractmethod
    def _decode(self, packed: Tensor, dtype: torch.dtype) -> Tensor: ...


class _WindowCodec(TimeCodec):
    """One number for every window of time steps, in a fixed number of bits; 'bits' is windows of one time step.

    The last window may be shorter. A row is a bit stream: the lowest bit of all numbers, window after window and
    feature after feature within it, then their next bit, and so on.
    Source: arXiv 2407.03111, where windows keep whether there was a spike, or how many.
    """

    def __init__(
        self,
        spec: str,
        n_time_steps: int,
        n_features: int,
        max_count: int,
        *,
        window: int,
        keep: Literal["any", "count"],
        middle: bool,
    ) -> None:
        super().__init__(spec, n_time_steps, n_features, max_count)
        self._window = window
        self._keep = keep
        self._middle = middle
        self._n_windows = -(-n_time_steps // window)
        self._n_planes = planes_for(window * max_count) if keep == "count" else 1
        self.lossless = window == 1 and (keep == "count" or max_count == 1)
        self.max_row_bytes = -(-self._n_windows * n_features * self._n_planes // 8)

    def _encode(self, latents: Tensor) -> Tensor:
        if self._keep == "any":
            kept = self._windows((whole_numbers(latents) != 0).to(torch.uint8)).amax(dim=2)
        else:
            counts = whole_numbers(latents, self.max_count, "Make the codec with a larger max_count.")
            kept = self._windows(counts).sum(dim=2, dtype=torch.int32) if self._window > 1 else counts
        n_numbers = self._n_windows * self.n_features
        numbers = kept.reshape(len(latents), 1, n_numbers)
        planes = torch.cat([(numbers >> plane) & 1 for plane in range(self._n_planes)], dim=1)
        return pack(planes.reshape(len(latents), 1, self._n_planes * n_numbers)).reshape(-1, self.max_row_bytes)

    def _decode(self, packed: Tensor, dtype: torch.dtype) -> Tensor:
        require_room_in(dtype, self._n_planes)
        n_numbers = self._n_windows * self.n_features
        planes = unpack(packed[:, None, :, None], self._n_planes * n_numbers, dtype)
        planes = planes.reshape(len(packed), self._n_planes, self._n_windows, self.n_features)
        numbers = planes[:, 0]
        for plane in range(1, self._n_planes):
            numbers = numbers + planes[:, plane] * 2**plane
        if self._window == 1:
            return numbers
        latents = numbers.new_zeros((len(packed), self.n_time_steps, self.n_features))
        latents[:, self._restored_steps(packed.device)] = numbers
        return latents

    def _windows(self, values: Tensor) -> Tensor:
        """View `[B, T, H]` as `[B, windows, W, H]`, the last window filled up with zeros."""
        n_missing = self._n_windows * self._window - self.n_time_steps
        padded = torch.nn.functional.pad(values, (0, 0, 0, n_missing))
        return padded.reshape(len(values), self._n_windows, self._window, self.n_features)

    def _restored_steps(self, device: torch.device) -> Tensor:
        """Return int64 `[windows]`: the time step on which each window's number is restored."""
        starts = torch.arange(0, self.n_time_steps, self._window, device=device)
        if not self._middle:
            return starts
        lengths = (self.n_time_steps - starts).clamp(max=self._window)
        return starts + (lengths - 1) // 2


class _RiceCodec(TimeCodec):
    """Golomb-Rice coded gaps between spikes, of counts in bit planes, or plain bits where shorter (see `rice.py`)."""

    def __init__(self, spec: str, n_time_steps: int, n_features: int, max_count: int) -> None:
        super().__init__(spec, n_time_steps, n_features, max_count)
        self.lossless = True
        self.variable_length = True
        self.max_row_bytes = rice.max_row_bytes(n_time_steps * n_features, planes_for(max_count))

    def row_bytes(self, packed: Tensor) -> Tensor:
        """Return int64 `[B]`: the bytes of each row without the zero bytes on its right, at least one."""
        self._check_packed(packed)
        return torch.from_numpy(rice.kept_bytes(packed.cpu().numpy())).to(packed.device)

    def _encode(self, latents: Tensor) -> Tensor:
        spikes = whole_numbers(latents, self.max_count, "Make the codec with a larger max_count.")
        rows = torch.split(spikes.cpu(), _RICE_ROWS_AT_ONCE)
        blocks = [torch.from_numpy(rice.encode_rasters(block.numpy())) for block in rows]
        width = max(block.shape[1] for block in blocks)
        packed = torch.cat([torch.nn.functional.pad(block, (0, width - block.shape[1])) for block in blocks])
        return packed.to(latents.device)

    def _decode(self, packed: Tensor, dtype: torch.dtype) -> Tensor:
        require_room_in(dtype, planes_for(self.max_count))
        latents = torch.empty((len(packed), self.n_time_steps, self.n_features), dtype=dtype)
        rows = packed.cpu()
        for first in range(0, len(rows), _RICE_ROWS_AT_ONCE):
            block = rows[first : first + _RICE_ROWS_AT_ONCE].numpy()
            rasters = rice.decode_rasters(block, self.n_time_steps, self.n_features, planes_for(self.max_count))
            latents[first : first + len(block)] = torch.from_numpy(rasters)
        return latents.to(packed.device)

    def _is_row_width(self, width: int) -> bool:
        return width >= 1

    def _row_width(self) -> str:
        return "1 or more"


def rice_bytes(rasters: Tensor) -> Tensor:
    """Return the bytes that 'rice' codes of rasters take, without coding them.

    Args:
        rasters: uint8 `[B, T, H]` of spikes or spike counts.

    Returns:
        int64 `[B]`, on the CPU; a code whose last bytes are zero can be stored in fewer.
    """
    rows = torch.split(rasters.cpu(), _RICE_ROWS_AT_ONCE)
    return torch.cat([torch.from_numpy(rice.row_bytes(block.numpy())) for block in rows])


def make_codec(spec: str, n_time_steps: int, n_features: int, max_count: int = 1) -> TimeCodec:
    """Make the codec that `spec` describes, for latents `[B, n_time_steps, n_features]`.

    Args:
        spec: 'bits': lossless, `ceil(T * H * P / 8)` bytes a sample, P bits holding `max_count`.
            'rice': lossless, the shorter the sparser, never more than a byte above 'bits'. Counts up to 255.
            'any/W': one bit for every W time steps, 1 if there is any spike in them, restored on the first of them.
            'any/W/middle': the same, restored on the middle one (the earlier of two).
            'count/W': the number of spikes in every W time steps, restored as a count on the first of them.
        n_time_steps: T. W may be as large, for one window, but not larger: time would end within the first window.
        n_features: H.
        max_count: the largest value of a latent, 1 for spikes.

    Raises:
        ValueError: another spec, a window longer than T, or 'rice' for counts above 255.
    """
    for name, size in (("n_time_steps", n_time_steps), ("n_features", n_features), ("max_count", max_count)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, but {size} came.")
    if spec == "rice":
        if max_count > _LARGEST_RICE:
            raise ValueError(
                f"Codec 'rice' codes counts up to {_LARGEST_RICE}, but max_count={max_count} came: use 'bits'."
            )
        return _RiceCodec(spec, n_time_steps, n_features, max_count)
    if spec == "bits":
        return _WindowCodec(spec, n_time_steps, n_features, max_count, window=1, keep="count", middle=False)
    found = _WINDOW_SPEC.fullmatch(spec) if isinstance(spec, str) else None
    if found is None or (found["middle"] and found["keep"] == "count"):
        raise ValueError(f"No codec is called {spec!r}. Allowed are {_ALLOWED}.")
    window = int(found["window"])
    if window > n_time_steps:
        raise ValueError(
            f"Codec {spec!r} has windows of {window} time steps, but the latents have {n_time_steps}: "
            f"'{found['keep']}/{n_time_steps}' is the longest window."
        )
    return _WindowCodec(
        spec,
        n_time_steps,
        n_features,
        max_count,
        window=window,
        keep="any" if found["keep"] == "any" else "count",
        middle=found["middle"] is not None,
    )
