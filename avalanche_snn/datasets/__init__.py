"""Data sets of spikes: the Spiking Heidelberg Digits, synthetic spoken digits, and one's own."""

from avalanche_snn.datasets.locations import dataset_root
from avalanche_snn.datasets.rasters import RasterDataset
from avalanche_snn.datasets.shd import SHD
from avalanche_snn.datasets.synthetic import SyntheticSpokenDigits

__all__ = ["SHD", "RasterDataset", "SyntheticSpokenDigits", "dataset_root"]
