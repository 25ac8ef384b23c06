"""`python -m benchmarks images`: growing networks on CIFAR-100."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from avalanche.distributed.distributed_helper import DistributedHelper

from avalanche_snn.models.residual import PRECISIONS
from benchmarks.images.configurations import CONFIGURATIONS, METHODS
from benchmarks.images.runner import Machine, measure_images, run_images
from benchmarks.images.tables import FOLDER
from benchmarks.pretraining import CACHE
from benchmarks.processes import check_cores
from benchmarks.records import RESULTS


def add_images(commands: Any) -> None:
    """Add the command to the bench's."""
    images = commands.add_parser(
        "images",
        help="growing networks on CIFAR-100: ALADE-SNN, its parts one by one, weight alignment",
        description="Carry out runs and write their records. Runs that have a record are not repeated; one that was "
        "interrupted goes on from its last checkpoint, ten epochs back at most. On several GPUs of a machine: "
        "torchrun --nproc-per-node N -m benchmarks images ...",
    )
    images.add_argument("configuration", choices=CONFIGURATIONS, help="protocol, network and length of training")
    images.add_argument("--method", nargs="+", choices=METHODS, default=["alade"])
    images.add_argument("--class-order", nargs="+", type=int, default=[0], help="seeds of the order of classes")
    images.add_argument("--seed", type=int, default=0, help="of weights and draws")
    images.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    images.add_argument("--precision", choices=PRECISIONS, help="of convolutions (default: bfloat16 on a GPU)")
    images.add_argument("--workers", type=int, default=0, help="processes that read images (default 0)")
    images.add_argument("--threads", type=int, default=1, help="of torch, on a CPU (default 1)")
    images.add_argument(
        "--measure", action="store_true", help="take two steps and write how long they took, instead of a run"
    )
    images.add_argument("--results", type=Path, default=RESULTS, help="folder of records")
    images.add_argument("--checkpoints", type=Path, default=CACHE / FOLDER, help="folder of checkpoints")
    images.set_defaults(carry_out=_images)


def _images(parsed: argparse.Namespace) -> int:
    check_cores(1, parsed.threads)
    torch.set_num_threads(parsed.threads)
    device = parsed.device
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise ValueError(f"--device: 'cpu' or, with a GPU that torch finds, 'cuda' was wanted, {device!r} came.")
    if "RANK" in os.environ:
        gpus = device.startswith("cuda")
        if gpus:  # before anything is sent from it
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        DistributedHelper.init_distributed(parsed.seed, "nccl" if gpus else "gloo", gpus)
        device = f"cuda:{os.environ['LOCAL_RANK']}" if gpus else device
    on_gpu = device.startswith("cuda")
    precision = parsed.precision or ("bfloat16" if on_gpu else "float32")
    machine = Machine(device, precision, channels_last=on_gpu, n_workers=parsed.workers)
    configuration = CONFIGURATIONS[parsed.configuration]
    results = parsed.results / FOLDER
    if parsed.measure:
        record = measure_images(parsed.configuration, configuration, machine=machine, results=results)
        first, second = record["step_seconds"]
        print(
            f"{parsed.configuration}: {first:.2f} s a step of {record['minibatch']} images with one extractor, "
            f"{second:.2f} s with two, at most {record['peak_bytes'] / 1e9:.1f} GB"
        )
        return 0
    for class_order in parsed.class_order:
        for method in parsed.method:
            record = run_images(
                parsed.configuration,
                configuration,
                method,
                class_order=class_order,
                seed=parsed.seed,
                machine=machine,
                results=results,
                checkpoints=parsed.checkpoints,
            )
            print(
                f"{parsed.configuration}, {METHODS[method].title}, class order {class_order}: average incremental "
                f"accuracy {100 * record['average_incremental_accuracy']:.2f} %, final "
                f"{100 * record['final_accuracy']:.2f} %, {record['seconds']:.0f} s"
            )
    return 0
