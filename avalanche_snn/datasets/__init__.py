"""Data sets: the Spiking Heidelberg Digits, synthetic spoken digits, spikes of one's own, and CIFAR-100."""

from avalanche_snn.datasets.cifar100 import CIFAR100
from avalanche_snn.datasets.locations import dataset_root
from avalanche_snn.datasets.rasters import RasterDataset
from avalanche_snn.datasets.shd import SHD
from avalanche_snn.datasets.synthetic import SyntheticSpokenDigits

__all__ = ["CIFAR100", "SHD", "RasterDataset", "SyntheticSpokenDigits", "dataset_root"]
