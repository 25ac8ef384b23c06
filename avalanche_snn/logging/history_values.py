"""Metric values as a W&B history can show them."""

from __future__ import annotations

from typing import Any

import numpy as np
import wandb
from avalanche.evaluation.metric_results import AlternativeValues, TensorImage
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from avalanche_snn.logging.images import figure_image, heat_map, tensor_image


def history_value(value: Any) -> Any:
    """Return what of a metric value is logged.

    Args:
        value: anything that a metric may emit.

    Returns:
        A number or string as it is; a PIL image for figures, images and matrices; a `wandb.Histogram` for other
        tensors; objects of W&B as they are; None for what cannot be shown. Of alternatives a picture, if there is one.
    """
    if isinstance(value, AlternativeValues):
        pictures = [part for part in value.alternatives if _is_picture(part)]
        value = next(iter([*pictures, *value.alternatives]), None)
    if isinstance(value, Figure):
        return figure_image(value)
    if isinstance(value, TensorImage):
        return tensor_image(value.image)
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.float().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return _array_value(np.asarray(value))
    if isinstance(value, (bool, int, float, str, Image.Image)) or _is_of_wandb(value):
        return value
    return None


def _is_picture(value: Any) -> bool:
    return isinstance(value, (Figure, Image.Image, TensorImage)) or _is_of_wandb(value)


def _is_of_wandb(value: Any) -> bool:
    """Tell charts, as Avalanche's own W&B metric emits them, tables and media, which have no public class in common."""
    return type(value).__module__.partition(".")[0] == "wandb"


def _array_value(values: Any) -> Any:
    if values.dtype.kind not in "biuf" or not values.size:
        return None
    if values.size == 1:
        return values.item()
    if values.ndim == 2:
        return heat_map(values.astype(np.float64))
    finite = values[np.isfinite(values)]
    return wandb.Histogram(finite.tolist()) if finite.size else None
