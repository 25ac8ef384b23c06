"""Residual spiking networks for images, as ordinary modules: nothing is kept between calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from avalanche_snn.models.seeding import drawn_from
from avalanche_snn.neurons import LeakyMaps

PRECISIONS: Mapping[str, torch.dtype | None] = MappingProxyType(
    {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
)


@dataclass(frozen=True)
class Stage:
    """Residual blocks of the same width.

    Attributes:
        n_blocks: one or more.
        width: channels.
        stride: of the first block, by which it shrinks the image.
    """

    n_blocks: int
    width: int
    stride: int


RESIDUAL_NETWORKS: Mapping[str, tuple[int, tuple[Stage, ...]]] = MappingProxyType(
    {
        "resnet19": (64, (Stage(3, 128, 1), Stage(3, 256, 2), Stage(2, 512, 2))),
        "resnet18": (64, (Stage(2, 64, 1), Stage(2, 128, 2), Stage(2, 256, 2), Stage(2, 512, 2))),
        "narrow": (16, (Stage(1, 16, 1), Stage(1, 32, 2), Stage(1, 64, 2))),
    }
)
"""name -> channels of the stem, stages. `resnet19` is that of ALADE-SNN: 12.5 million weights without the readout, 2.2
billion multiply-adds a time step for an image of 32 x 32."""


class SpikingResNet(nn.Module):
    """Residual network of leaky integrate-and-fire neurons, images `[B, C, H, W]` -> logits `[B, K]` or features.

    Convolutions, batch normalisation over minibatch and time, and neurons (`LeakyMaps`); a block adds its input to
    what its second convolution puts out, ahead of its last neurons. An image is shown at every time step (direct
    encoding): the first convolution, whose input is then the same in all of them, is computed once. Frames
    `[B, T, C, H, W]`, as event cameras give them, are taken one a time step. The readout is linear, on the mean of the
    last spikes over space and time; a linear readout of each time step's spikes, averaged, is the same.

    The defaults are those of ALADE-SNN (arXiv 2412.12696): ResNet-19, four time steps, decay 0.5, threshold 1, hard
    reset, triangular surrogate.

    Args:
        n_classes: K; None for the features themselves, `[B, n_features]`.
        network: `"resnet19"`, `"resnet18"`, `"narrow"` (small enough to train on a CPU), or stages of one's own.
        n_channels: C.
        n_time_steps: T.
        width: factor of all channels: 0.5 for a network of half the width.
        precision: `"float32"`, or `"bfloat16"` or `"float16"` for convolutions under `torch.autocast`; membranes are in
            float32 all the same, and so are features and logits. Gradients in `"float16"` may need a scaler.
        seed: draw the initial weights from this seed, and leave torch's generator alone; None draws from it.
        neurons: arguments of `LeakyMaps`: beta, threshold, reset, reset_delay, surrogate, kernel.

    Attributes:
        n_features: of the features.
        n_time_steps: T.

    Raises:
        ValueError: an unknown network or precision, sizes below 1, or values that `LeakyMaps` refuses.
        TypeError: an unknown argument of the neurons.
    """

    def __init__(
        self,
        n_classes: int | None = None,
        network: str | Sequence[Stage] = "resnet19",
        *,
        n_channels: int = 3,
        n_time_steps: int = 4,
        width: float = 1.0,
        precision: str = "float32",
        seed: int | None = None,
        **neurons: Any,
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}: choose one of {', '.join(map(repr, PRECISIONS))}")
        if n_channels < 1 or (n_classes is not None and n_classes < 1) or not width > 0:
            raise ValueError(
                "SpikingResNet: wanted at least 1 channel and 1 class, and a width above 0, "
                f"came {n_channels}, {n_classes} and {width}"
            )
        stem, stages = _architecture(network)
        self.n_time_steps = n_time_steps
        self.precision = precision

        def make_neurons() -> LeakyMaps:
            return LeakyMaps(n_time_steps, **neurons)

        with drawn_from(seed):
            n_maps = _scaled(stem, width)
            self.stem = nn.Sequential(_convolution(n_channels, n_maps), nn.BatchNorm2d(n_maps))
            self.stem_neurons = make_neurons()
            blocks: list[nn.Module] = []
            for stage in stages:
                for number in range(stage.n_blocks):
                    n_out = _scaled(stage.width, width)
                    blocks.append(_Block(n_maps, n_out, 1 if number else stage.stride, make_neurons))
                    n_maps = n_out
            self.blocks = nn.Sequential(*blocks)
            self.n_features = n_maps
            self.readout = None if n_classes is None else nn.Linear(n_maps, n_classes)
            self._draw_weights()

    def forward(self, images: Tensor) -> Tensor:
        """Classify images `[B, C, H, W]` or frames `[B, T, C, H, W]` -> logits `[B, K]`, or features without a readout.

        Raises:
            ValueError: an input of another rank, or of another number of frames.
        """
        output = self.features(images)
        if self.readout is not None:
            output = self.readout(output)
        return output

    def features(self, images: Tensor) -> Tensor:
        """Return the share of time steps and places in which each of the last maps spikes: `[B, n_features]`, 0..1."""
        if images.dim() not in (4, 5) or (images.dim() == 5 and images.shape[1] != self.n_time_steps):
            raise ValueError(
                f"SpikingResNet wanted images [B, C, H, W] or frames [B, {self.n_time_steps}, C, H, W], "
                f"came {list(images.shape)}"
            )
        with self._autocast(images.device):
            spikes = self.blocks(self.stem_neurons(self._first_currents(images)))
        # In the dtype of the weights: a mean in half precision would be rounded.
        by_step: Tensor = spikes.to(next(self.parameters()).dtype).mean(dim=(2, 3))
        return by_step.view(self.n_time_steps, -1, self.n_features).mean(dim=0)

    def extra_repr(self) -> str:
        """Time steps and precision, for `print(model)`."""
        return f"n_time_steps={self.n_time_steps}, precision={self.precision}"

    def _first_currents(self, images: Tensor) -> Tensor:
        """Currents `[T B, C, H, W]` of the first neurons."""
        currents: Tensor = self.stem(images.transpose(0, 1).flatten(0, 1) if images.dim() == 5 else images)
        if images.dim() == 5:
            return currents
        # Not `repeat`, which does not keep the memory format.
        return torch.cat([currents] * self.n_time_steps)

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        dtype = PRECISIONS[self.precision]
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype)

    def _draw_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class _Block(nn.Module):
    """Two convolutions, with neurons behind each, around which the input is carried."""

    def __init__(self, n_in: int, n_out: int, stride: int, make_neurons: Callable[[], LeakyMaps]) -> None:
        super().__init__()
        self.first = nn.Sequential(_convolution(n_in, n_out, stride=stride), nn.BatchNorm2d(n_out))
        self.first_neurons = make_neurons()
        self.second = nn.Sequential(_convolution(n_out, n_out), nn.BatchNorm2d(n_out))
        self.second_neurons = make_neurons()
        self.shortcut = (
            nn.Sequential(_convolution(n_in, n_out, stride=stride, size=1), nn.BatchNorm2d(n_out))
            if stride != 1 or n_in != n_out
            else nn.Identity()
        )

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes `[T B, C, H, W]` to spikes."""
        currents = self.second(self.first_neurons(self.first(spikes)))
        fired: Tensor = self.second_neurons(currents + self.shortcut(spikes))
        return fired


def _convolution(n_in: int, n_out: int, *, stride: int = 1, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, bias=False)


def _scaled(n_maps: int, width: float) -> int:
    return max(1, round(n_maps * width))


def _architecture(network: str | Sequence[Stage]) -> tuple[int, Sequence[Stage]]:
    """Return the channels of the stem, and the stages."""
    if not isinstance(network, str):
        if not network or any(min(stage.n_blocks, stage.width, stage.stride) < 1 for stage in network):
            raise ValueError(
                f"SpikingResNet: wanted one stage or more, with blocks, width and stride of at least 1, came {network}"
            )
        return network[0].width, network
    if network not in RESIDUAL_NETWORKS:
        raise ValueError(f"unknown network {network!r}: choose one of {', '.join(map(repr, RESIDUAL_NETWORKS))}")
    return RESIDUAL_NETWORKS[network]
