"""Networks of named layers that can be cut in two, and whose `forward` takes rasters and latents alike.

The front, up to and with the layer of the cut, is what latent replay freezes; what it puts out are the latents. They
travel as packed bits, uint8 `[B, T', ceil(H/8), P]`: of rank 4 where rasters are of rank 3, so that a batch says by
itself what it holds. A copy of the network (a teacher, a checkpoint) therefore understands latents as the network
does, and nothing has to be switched on or off between training on latents and evaluating on rasters.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from avalanche_snn.models.cutting import front_length
from avalanche_snn.models.delays import DelayedCopies
from avalanche_snn.models.pooling import TimePooling
from avalanche_snn.neurons import SpikingLayer
from avalanche_snn.spikes import is_packed_batch, pack, planes_for, unpack

INPUT = "input"
_LARGEST_COUNT_OF_UNKNOWN_LAYERS = 255
_BITS_OF_A_BYTE = 8


class CuttableSequential(nn.Sequential):
    """An `nn.Sequential` over sequences that can be cut after a named layer.

    Parameters keep the names that a plain `nn.Sequential` of the same layers gives them, from the start: what
    regularising strategies store by name stays valid when the network is cut.

    Shapes: rasters `[B, T, C]` (any dtype) or packed latents uint8 `[B, T', ceil(H/8), P]` -> logits `[B, K]`.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._front_length: int | None = None
        self._front_frozen = False
        self._stays_in_evaluation = False
        self._n_latent_time_steps = 0
        self._n_latent_features = 0
        self._n_latent_planes = 1

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a layer at the end.

        Raises:
            ValueError: the name is one of this class's own, like "front".
        """
        if hasattr(type(self), name):
            raise ValueError(f"A layer of a {type(self).__name__} cannot be named {name!r}, as its methods are.")
        super().add_module(name, module)

    def __getitem__(self, index: Any) -> Any:
        """Return one layer, or for a slice a `CuttableSequential` that shares the layers."""
        if isinstance(index, slice):
            return CuttableSequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def cut(self, after: str, example: Tensor) -> None:
        """Cut the network after the layer named `after`, and after its time pooling if it has one.

        Args:
            after: a layer's name, as `named_children` gives it.
            example: rasters `[B, T, C]` that are put through the front once, in evaluation mode, to learn the shape
                of the latents and to see that they are spikes or spike counts.

        Raises:
            ValueError: there is no such layer, it is the last one, its output is not `[B, T', H]` of whole numbers
                from 0 to 255, or the front is frozen already and ends elsewhere. The network stays as it was then.
        """
        length, before = front_length(self, after), self._front_length
        if self._front_frozen and length != before:
            raise ValueError(
                f"A cut after {after!r} was asked for, but the front of this network is frozen up to "
                f"{list(self._modules)[self._require_cut() - 1]!r} already: cut there, or take a new network."
            )
        self._front_length = length
        try:
            with ExitStack() as stack:
                # The shape that latents will have: of those that are pooled when the front is frozen.
                for layer in self.front_layers():
                    if isinstance(layer, TimePooling):
                        stack.enter_context(layer.started())
                latents = self.front(example)
            self._check_latents(latents, after)
        except Exception:
            self._front_length = before
            raise
        self._n_latent_time_steps, self._n_latent_features = latents.shape[1:]
        largest = self._largest_count_by_design()
        if largest is None or latents.max() > largest:
            largest = _LARGEST_COUNT_OF_UNKNOWN_LAYERS if latents.max() > 1 else 1
        self._n_latent_planes = planes_for(largest)

    @property
    def is_cut(self) -> bool:
        """Whether `cut` has been called."""
        return self._front_length is not None

    @property
    def front_is_frozen(self) -> bool:
        """Whether `freeze_front` has been called."""
        return self._front_frozen

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Time steps and features of one sample's latents, `(T', H)`."""
        self._require_cut()
        return self._n_latent_time_steps, self._n_latent_features

    @property
    def knows_largest_latent(self) -> bool:
        """Whether the layers at the cut are this library's, which spike once in a time step: others may more often."""
        layers = (
            layer for layer in reversed(self.front_layers()) if not isinstance(layer, DelayedCopies | TimePooling)
        )
        return isinstance(next(layers, None), SpikingLayer)

    @property
    def largest_latent(self) -> int:
        """The largest value that a packed latent can hold: 1 for spikes, more for spike counts."""
        self._require_cut()
        return int(2**self._n_latent_planes - 1)

    def hold_latents_up_to(self, largest: int) -> None:
        """Give packed latents bits for values up to `largest`: a code may restore counts where spikes were.

        Raises:
            ValueError: the network is not cut yet.
        """
        self._n_latent_planes = max(planes_for(self.largest_latent), planes_for(largest))

    def front(self, rasters: Tensor) -> Tensor:
        """Put rasters `[B, T, C]` through the front alone -> latents `[B, T', H]`, in evaluation mode, no gradient."""
        modes = [(module, module.training) for layer in self.front_layers() for module in layer.modules()]
        for module, _ in modes:
            module.training = False
        try:
            with torch.no_grad():
                return self._run_front(rasters)
        finally:
            for module, mode in modes:
                module.training = mode

    def back(self, latents: Tensor) -> Tensor:
        """Put latents `[B, T', H]` (float) through the back -> logits `[B, K]`."""
        return _through(self._back_layers(), latents)

    def encode(self, rasters: Tensor) -> Tensor:
        """Put rasters `[B, T, C]` through the front and pack what comes out: uint8 `[B, T', ceil(H/8), P]`.

        Raises:
            ValueError: the latents are not whole numbers that fit into `largest_latent`.
        """
        return pack(self.front(rasters), self._n_latent_planes)

    def decode(self, packed: Tensor) -> Tensor:
        """Unpack what `encode` returned -> latents `[B, T', H]` in the dtype of the network's weights.

        Raises:
            ValueError: packed latents of another shape than those of the cut.
        """
        return self._unpacked(packed, self._dtype())

    def _unpacked(self, packed: Tensor, dtype: torch.dtype) -> Tensor:
        self._require_cut()
        n_bytes = -(-self._n_latent_features // 8)
        if packed.dim() != 4 or packed.shape[1:3] != (self._n_latent_time_steps, n_bytes):
            raise ValueError(
                f"Packed latents [B, {self._n_latent_time_steps}, {n_bytes}, P] of {self._n_latent_features} features "
                f"were wanted, but {list(packed.shape)} came: were they computed with another cut?"
            )
        return unpack(packed, self._n_latent_features, dtype)

    def repack(self, latents: Tensor) -> Tensor:
        """Pack latents `[B, T', H]`, wherever they come from, as `encode` packs them."""
        self._require_cut()
        return pack(latents, self._n_latent_planes)

    def freeze_front(self) -> None:
        """Freeze the front: no gradient, and evaluation mode (still batch statistics, no dropout) from now on.

        A time pooling at its end that was to begin late begins now.
        """
        for layer in self.front_layers():
            for parameter in layer.parameters():
                parameter.requires_grad_(False)
                # Weight decay and momentum move whatever still has a gradient.
                parameter.grad = None
            layer.eval()
            if isinstance(layer, TimePooling):
                layer.start()
        self._front_frozen = True

    def scale_back_thresholds(self, factor: float) -> None:
        """Make the thresholds of the back's spiking layers so many times as high, see `SpikingLayer.scale_threshold`.

        Raises:
            ValueError: the factor is not above 0.
        """
        for layer in self._back_layers():
            if isinstance(layer, SpikingLayer) and factor != 1:
                layer.scale_threshold(factor)

    def front_state(self) -> dict[str, Tensor]:
        """Return the front's parameters and buffers by name; the tensors are the network's own, not copies."""
        names = list(self._modules)[: self._require_cut()]
        return {
            name: tensor
            for name, tensor in self.state_dict(keep_vars=True).items()
            if name.split(".", maxsplit=1)[0] in names
        }

    def stay_in_evaluation_mode(self) -> None:
        """Have every layer in evaluation mode from now on, in training too: still statistics, and nothing dropped.

        What is trained then is the network that will be evaluated. In minibatches of few new samples and many replays,
        batch statistics would be those of the mixture, not of the data.
        """
        self._stays_in_evaluation = True
        self.train(self.training)

    def train(self, mode: bool = True) -> CuttableSequential:
        """Set training mode; a frozen front stays in evaluation mode, or all layers where that was asked for."""
        super().train(mode)
        if self._stays_in_evaluation:
            for layer in self._layers():
                layer.eval()
        if self._front_frozen:
            for layer in self.front_layers():
                layer.eval()
        return self

    def forward(self, batch: Tensor) -> Tensor:
        """Classify rasters `[B, T, C]` or packed latents uint8 `[B, T', ceil(H/8), P]` -> logits `[B, K]`.

        Raises:
            ValueError: packed latents came, but the network is not cut or its latents have another shape.
        """
        if is_packed_batch(batch):
            if not self.is_cut:
                raise ValueError(
                    f"Packed latents {list(batch.shape)} came, but this network is not cut: call cut(after, example)."
                )
            counts = _take_counts(self._back_layers()) and batch.shape[-1] <= _BITS_OF_A_BYTE
            return self.back(self._unpacked(batch, torch.uint8) if counts else self.decode(batch))
        if self._front_frozen:
            with torch.no_grad():
                latents = self._run_front(batch)
            # In memory as decoded latents are: dropout and sums behind the cut then come out the same, bit for bit.
            return self.back(latents.contiguous())
        return _through(self._layers(), self._as_input(batch, self._layers()))

    def _layers(self) -> list[nn.Module]:
        return list(self._modules.values())

    def front_layers(self) -> list[nn.Module]:
        """Return the layers of the front, in order.

        Raises:
            ValueError: the network is not cut yet.
        """
        return self._layers()[: self._require_cut()]

    def _back_layers(self) -> list[nn.Module]:
        return self._layers()[self._require_cut() :]

    def _run_front(self, rasters: Tensor) -> Tensor:
        return _through(self.front_layers(), self._as_input(rasters, self.front_layers()))

    def _as_input(self, rasters: Tensor, layers: Iterable[nn.Module]) -> Tensor:
        """Rasters as the first of the layers takes them."""
        return rasters if _take_counts(layers) else rasters.to(self._dtype())

    def _require_cut(self) -> int:
        if self._front_length is None:
            raise ValueError("This network is not cut into front and back yet: call cut(after, example) first.")
        return self._front_length

    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.parameters() if p.is_floating_point()), torch.get_default_dtype())

    def _largest_count_by_design(self) -> int | None:
        """Return the largest count that known layers at the end of the front can put out, None where unknown."""
        largest = 1
        for layer in reversed(self.front_layers()):
            if isinstance(layer, DelayedCopies):
                continue
            if not isinstance(layer, TimePooling):
                return largest
            if layer.mode == "count":
                largest *= layer.window
        return None

    @staticmethod
    def _check_latents(latents: Tensor, after: str) -> None:
        if latents.dim() != 3:
            raise ValueError(
                f"Latents after layer {after!r} must be [B, T, H], but {list(latents.shape)} came: "
                "cut after a layer that puts out sequences."
            )
        if (latents < 0).any() or (latents > _LARGEST_COUNT_OF_UNKNOWN_LAYERS).any() or (latents % 1 != 0).any():
            raise ValueError(
                f"Latents after layer {after!r} must be spikes or spike counts (whole numbers from 0 to "
                f"{_LARGEST_COUNT_OF_UNKNOWN_LAYERS}), but values from {latents.min().item():g} to "
                f"{latents.max().item():g} came: cut after a spiking layer."
            )


def _take_counts(layers: Iterable[nn.Module]) -> bool:
    """Whether layers in a row take spike counts of any dtype, of which bytes are read the fastest.

    A spiking layer does; what stands ahead of it may hand on the dtype that it gets.
    """
    return isinstance(next((layer for layer in layers if not _hands_on(layer)), None), SpikingLayer)


def _hands_on(layer: nn.Module) -> bool:
    """Whether a layer leaves values and dtype as they are: delayed copies do, and dropout that drops nothing."""
    return isinstance(layer, DelayedCopies) or (isinstance(layer, nn.Dropout) and not layer.training)


def _through(layers: Iterable[nn.Module], values: Tensor) -> Tensor:
    for layer in layers:
        values = layer(values)
    return values
