"""Training in several processes, each with its share of every minibatch (torch's distributed data parallel)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from avalanche_snn.training.stateless_plugin import StatelessPlugin


class DataParallel(StatelessPlugin):
    """Wrap the model in `torch.nn.parallel.DistributedDataParallel` while an experience is trained.

    For scripts that are started by `torchrun`, one process a device, and call Avalanche's
    `DistributedHelper.init_distributed` first. A network that grows is wrapped anew in each experience, with its new
    parameters; between experiences it is the plain model. `train_mb_size` is that of all processes together: each takes
    its share, which Avalanche's data loaders deal out, in another order in each epoch. That order, and what the other
    processes draw (in augmentation, say), follow from the generator of the first one: to go on with a run, its state is
    enough, and `avalanche_snn.checkpointing.resume` writes no other. The model of the first process is everyone's when
    an experience begins, and batch statistics are when it ends. The plugin is to stand first among the plugins, where
    templates for networks that grow put it by themselves. In one process, without `init_distributed`, it does nothing.

    Args:
        options: of `DistributedDataParallel`.

    Raises:
        ValueError: in training, a minibatch that cannot be dealt out evenly.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = options
        self._minibatch = 0
        self._samplers: list[DistributedSampler[Any]] = []

    def before_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Take this process's share of the minibatch, before data loaders are made."""
        n = n_processes()
        if n == 1:
            return
        if strategy.train_mb_size % n:
            raise ValueError(
                f"A minibatch of {strategy.train_mb_size} samples cannot be dealt out among {n} processes: choose "
                f"train_mb_size as a multiple of {n}."
            )
        self._minibatch = strategy.train_mb_size
        strategy.train_mb_size //= n

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Wrap the model."""
        if n_processes() > 1:
            of_gpu = {"device_ids": [strategy.device.index]} if strategy.device.type == "cuda" else {}
            strategy.model = DistributedDataParallel(strategy.model, **{**of_gpu, **self._options})

    def before_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Have the samples of this epoch dealt out in an order of its own, and other processes draw for themselves."""
        if n_processes() == 1:
            return
        drawn = torch.randint(2**31, (1,)).to(strategy.device)
        distributed.broadcast(drawn, 0)
        number = int(drawn)
        if rank := distributed.get_rank():
            torch.manual_seed(number + rank)
        loader, samplers = strategy.dataloader, self._samplers
        if hasattr(loader, "_create_samplers"):
            # Avalanche makes its samplers anew for each epoch (unless workers persist), all in the same order.
            def create_samplers(*given: Any, **more: Any) -> Any:
                created = type(loader)._create_samplers(*given, **more)
                samplers[:] = [one.sampler for one in created if isinstance(one.sampler, DistributedSampler)]
                for sampler in samplers:
                    sampler.set_epoch(number)
                return created

            loader._create_samplers = create_samplers
        for sampler in samplers:
            sampler.set_epoch(number)

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Take the model out again, with the batch statistics of the first process."""
        if n_processes() > 1:
            strategy.train_mb_size = self._minibatch
        self._samplers.clear()
        if isinstance(strategy.model, DistributedDataParallel):
            strategy.model = strategy.model.module
            take_from_first(strategy.model.buffers())


def n_processes() -> int:
    """Return how many processes train together; 1 where there is only this one."""
    is_one_of_many = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if is_one_of_many else 1


def is_first_process() -> bool:
    """Return whether this is the process that writes, of however many."""
    return n_processes() == 1 or distributed.get_rank() == 0


def wait_for_all() -> None:
    """Wait until all processes have come here."""
    if n_processes() > 1:
        distributed.barrier()


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model itself, also while it is wrapped, as `DataParallel` does."""
    inner: nn.Module = model.module if isinstance(model, (DistributedDataParallel, nn.DataParallel)) else model
    return inner


def average(tensors: Iterable[Tensor | None]) -> None:
    """Replace each tensor by its mean over all processes."""
    n = n_processes()
    if n > 1:
        for tensor in tensors:
            if tensor is not None:
                distributed.all_reduce(tensor)
                tensor /= n


def take_from_first(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by that of the first process: what each has drawn for itself."""
    if n_processes() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor.data, 0)


def shared_loader(dataset: Any, minibatch: int, generator: torch.Generator, **options: Any) -> DataLoader[Any]:
    """Return a data loader of shuffled samples, of which each process gets its share of every minibatch.

    Args:
        dataset: any.
        minibatch: samples of one, of all processes together.
        generator: of the order, in the same state in all processes.
        options: of the data loader.
    """
    n = n_processes()
    # One draw, however many processes and epochs there are: later draws do not depend on them.
    seed = int(torch.randint(2**31, (1,), generator=generator))
    if n == 1:
        own = torch.Generator().manual_seed(seed)
        return DataLoader(dataset, minibatch, shuffle=True, generator=own, **options)
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, seed=seed)
    return DataLoader(dataset, max(1, minibatch // n), sampler=sampler, **options)
