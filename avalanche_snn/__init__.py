"""Continual learning for spiking neural networks, inside Avalanche."""

__version__ = "0.1.0"

__all__ = ["__version__"]
