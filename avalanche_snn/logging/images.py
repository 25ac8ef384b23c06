"""Pictures of what metrics emit and of spikes, as PIL images."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

# Beyond it the numbers in the cells of a heat map are no longer legible.
_MOST_NUMBERED_CELLS = 20 * 20


def figure_image(figure: Figure) -> Image.Image:
    """Draw a matplotlib figure."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    # Avalanche makes its figures with pyplot, which holds on to each of them until it is closed.
    pyplot.close(figure)
    return Image.open(picture)


def tensor_image(image: Tensor) -> Image.Image | None:
    """Return an image tensor as a picture.

    Args:
        image: `[C, H, W]` or `[H, W]`; uint8, or numbers from 0 to 1. Numbers beyond these are scaled so that the
            least is black and the largest white. Channels that are neither grey, RGB nor RGBA are drawn one below
            the other.

    Returns:
        The picture, None if the tensor has another rank.
    """
    pixels = np.nan_to_num(image.detach().cpu().float().numpy())
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.ndim != 3 or not pixels.size:
        return None
    if pixels.shape[0] not in (1, 3, 4):
        pixels = pixels.reshape(1, -1, pixels.shape[2])
    low, high = float(pixels.min()), float(pixels.max())
    if image.dtype == torch.uint8:
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (pixels - low) / (high - low if high > low else 1)
    rows = (255 * scaled).round().astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(rows[..., 0] if rows.shape[2] == 1 else rows)


def heat_map(
    values: NDArray[np.float64],
    *,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    row_title: str = "",
    column_title: str = "",
    limits: tuple[float, float] | None = None,
) -> Image.Image:
    """Draw a matrix, with its numbers in the cells as long as they are legible.

    Args:
        values: `[R, K]`; nan where there is none.
        row_names: a name for each row; they are counted from 0 without.
        column_names: a name for each column, likewise.
        row_title: what the rows are.
        column_title: what the columns are.
        limits: the values of the darkest and the lightest colour; those of the matrix without.
    """
    n_rows, n_columns = values.shape
    figure = Figure(figsize=(2 + 0.45 * min(n_columns, 24), 1.5 + 0.4 * min(n_rows, 24)), layout="constrained")
    axes = figure.add_subplot()
    low, high = limits or (None, None)
    picture = axes.imshow(values, cmap="viridis", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    figure.colorbar(picture, ax=axes)
    axes.set(xlabel=column_title, ylabel=row_title)
    for axis, names in ((axes.yaxis, row_names), (axes.xaxis, column_names)):
        if names is None:
            axis.set_major_locator(MaxNLocator(integer=True))
        else:
            axis.set_ticks(range(len(names)), names)
    if values.size <= _MOST_NUMBERED_CELLS:
        least, most = picture.get_clim()
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if value < (least + most) / 2 else "black"
                axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=7)
    return figure_image(figure)


def raster_image(raster: NDArray[np.float64]) -> Image.Image:
    """Draw a spike raster `[T, C]`: time to the right, channels upwards, the more spikes the darker."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    most = float(raster.max(initial=1.0))
    axes.imshow(raster.T, cmap="binary", vmin=0, vmax=most, aspect="auto", interpolation="nearest", origin="lower")
    axes.set(xlabel="time step", ylabel="channel")
    return figure_image(figure)
