"""Class-Incremental SHD of arXiv 2407.03111: 19 classes, then the 20th.

Published: 200 epochs of pre-training and 50 incremental ones, Adamax, 2e-4 or 1e-3, minibatch 64, all 20 choices of the
new class. Here: one new class, and the epochs of `Training`, fixed in advance.
"""

from avalanche_snn.benchmarks import SHDClassIncremental, SyntheticClassIncremental
from benchmarks.settings import Benchmark, Published

BENCHMARK = Benchmark(
    name="class_incremental",
    title="Class-Incremental, 19 classes + 1",
    build={"shd": SHDClassIncremental, "synthetic": SyntheticClassIncremental},
    stream={"n_pretrain_classes": 19, "new_class": 19},
    published=(
        Published("CLR, layer 2, 2432 uncompressed latents", 92.05, "arXiv 2407.03111, abstract", contaminated=True),
        Published("CLR, 160 kB", 85.53, "code of arXiv 2407.03111, readme", contaminated=True),
    ),
)
