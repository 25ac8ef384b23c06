"""Sample-Incremental SHD of arXiv 2407.03111: eleven speakers, then the twelfth.

Published: 200 epochs of pre-training and 50 incremental ones, Adamax, minibatch 64, all 12 choices of the new
speaker. Here: one new speaker, and the epochs of `Training`, fixed in advance.
"""

from avalanche_snn.benchmarks import SHDSampleIncremental, SyntheticSampleIncremental
from benchmarks.settings import Benchmark, Published

BENCHMARK = Benchmark(
    name="sample_incremental",
    title="Sample-Incremental, 11 speakers + 1",
    build={"shd": SHDSampleIncremental, "synthetic": SyntheticSampleIncremental},
    stream={"new_speaker": 11},
    published=(
        Published("CLR, best", 92.46, "arXiv 2407.03111, abstract", contaminated=True),
        Published("CLR, 160 kB", 88.79, "code of arXiv 2407.03111, readme", contaminated=True),
    ),
)
