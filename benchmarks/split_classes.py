"""SHD's 20 classes in ten experiences of two, as continual learning splits most data sets.

No publication on compressed latent replay has figures for it. The order of the classes is drawn from the seed.
"""

from avalanche_snn.benchmarks import SplitSHD, SplitSyntheticSpokenDigits
from benchmarks.settings import Benchmark

BENCHMARK = Benchmark(
    name="split_classes",
    title="Split, 10 x 2 classes",
    build={"shd": SplitSHD, "synthetic": SplitSyntheticSpokenDigits},
    stream={"n_experiences": 10},
    published=(),
)
