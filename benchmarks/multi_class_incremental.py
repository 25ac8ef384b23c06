"""Multi-Class-Incremental SHD of arXiv 2407.03111: classes 0-9, then 10, 11, ... 19, one at a time.

Published: 200 epochs of pre-training and 20 for each class, Adamax, minibatch 64.
Here: the epochs of `Training`, fixed in advance.
"""

from avalanche_snn.benchmarks import SHDMultiClassIncremental, SyntheticMultiClassIncremental
from benchmarks.settings import Benchmark, Published

BENCHMARK = Benchmark(
    name="multi_class_incremental",
    title="Multi-Class-Incremental, 10 classes + 10 x 1",
    build={"shd": SHDMultiClassIncremental, "synthetic": SyntheticMultiClassIncremental},
    stream={"n_pretrain_classes": 10},
    published=(Published("CLR, 1:2, after 20 classes", 78.4, "arXiv 2407.03111, abstract", contaminated=True),),
)
