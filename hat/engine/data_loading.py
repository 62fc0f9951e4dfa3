"""Data loaders from configs, with an order of samples that depends on (seed, epoch) alone."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, DistributedSampler, Sampler

from hat import interruption
from hat.engine import distributed
from hat.errors import InputError
from hat.registry import Component, build
from hat.seeding import check_seed


class ResumableSampler(Sampler[int]):
    """Another sampler's order from sample ``start`` of the epoch on.

    The length is that of the whole epoch, so that progress counts and schedules do not depend on
    where a run was resumed.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        for position, index in enumerate(self.sampler):
            if position >= self.start:
                yield index

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)


class ShardSampler(Sampler[int]):
    """Every ``world_size``-th sample from ``rank`` on: each sample once over all processes.

    DistributedSampler repeats samples to give every process as many, which would count them twice
    in a metric.
    """

    def __init__(self, dataset: Sized) -> None:
        self.indices = range(distributed.rank(), len(dataset), distributed.world_size())

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def build_train_loader(config: Component, seed: int) -> tuple[DataLoader, ResumableSampler]:
    """The training data loader and its sampler.

    ``shuffle`` beside a ``sampler``, which ``DataLoader`` refuses, is handed to the sampler.
    Without a sampler, DistributedSampler gives an order that (seed, epoch) determines.
    """
    seed = check_seed(seed)
    dataset = build_dataset(config)
    shuffle = bool(config.arguments.get("shuffle", False))
    sampler = config.arguments.get("sampler") or Component(
        DistributedSampler, {}, f"{config.path}.sampler"
    )
    if isinstance(sampler, Component):
        extra: dict[str, Any] = {"dataset": dataset}
        if sampler.is_a(DistributedSampler):
            extra["num_replicas"] = distributed.world_size()
            extra["rank"] = distributed.rank()
            extra["shuffle"] = sampler.arguments.get("shuffle", shuffle)
            extra["seed"] = sampler.arguments.get("seed", seed)
        sampler = sampler.build(**extra)
    resumable = ResumableSampler(sampler)
    loader = config.without("shuffle").build(
        dataset=dataset,
        sampler=resumable,
        generator=torch.Generator().manual_seed(seed),
        **_defaults(config),
    )
    if len(loader) == 0:
        raise InputError(
            f"{config.path}: no batch in an epoch; the data set has {len(dataset)} samples"
        )
    return loader, resumable


def build_eval_loader(config: Component) -> DataLoader:
    """A data loader for evaluation; several processes share its samples, each taken once."""
    dataset = build_dataset(config)
    if config.arguments.get("shuffle", False):
        raise InputError(f"{config.path}.shuffle: evaluation takes the samples in order; set False")
    return config.without("shuffle").build(
        dataset=dataset, sampler=ShardSampler(dataset), **_defaults(config)
    )


def set_epoch(loader: DataLoader, sampler: ResumableSampler, epoch: int, start: int = 0) -> None:
    """Choose the order and the random draws of ``epoch``; begin at sample ``start``."""
    sampler.set_epoch(epoch)
    sampler.start = start
    if hasattr(loader.dataset, "set_epoch"):
        loader.dataset.set_epoch(epoch)


def batches(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches of ``loader``; a mistake met by a worker is reported as if met here.

    A worker's exception arrives with its traceback as the message. A signal to the whole process
    group ends the workers too, which is an interruption and no failure.
    """
    try:
        yield from loader
    except RuntimeError:
        interruption.check_soon()
        raise
    except InputError as error:
        text = str(error)
        if "Original Traceback" not in text:
            raise
        name = f"{InputError.__module__}.{InputError.__qualname__}: "
        raise InputError(text.rpartition(name)[2].strip()) from None


def build_dataset(config: Component) -> Any:
    """The data set of a data loader's config; InputError if it describes something else."""
    if not config.is_a(DataLoader):
        raise InputError(f"{config.path}.type: expected torch.utils.data.DataLoader")
    return build(config.arguments.get("dataset"))


def _defaults(config: Component) -> dict[str, Any]:
    """What a loader needs besides its config."""
    arguments = config.arguments
    return {
        # pinned memory serves copies to a GPU; without one it would only warn
        "pin_memory": bool(arguments.get("pin_memory")) and torch.cuda.is_available(),
        "worker_init_fn": arguments.get("worker_init_fn", _start_worker),
    }


def _start_worker(worker_id: int) -> None:
    """Workers are the parallelism; OpenCV's own threads would fight them for the cores.

    Signals to the process group are the main process's to handle: it needs its workers until it has
    stopped between two steps.
    """
    for number in interruption.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)
