"""Data loaders from configs, with an order of samples that depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, DistributedSampler, Sampler

from hat.engine import distributed
from hat.errors import InputError
from hat.registry import Deferred, build_from_registry, is_typed, resolve_type


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


def build_train_loader(config: Deferred, seed: int) -> tuple[DataLoader, ResumableSampler]:
    """The training data loader and its sampler.

    ``shuffle`` beside a ``sampler``, which ``DataLoader`` refuses, is handed to the sampler.
    Without a sampler, DistributedSampler gives an order that (seed, epoch) determines.
    """
    arguments, dataset = _take_apart(config)
    shuffle = bool(arguments.pop("shuffle", False))
    sampler_config = arguments.pop("sampler", None) or {"type": DistributedSampler}
    if is_typed(sampler_config):
        path = f"{config.path}.sampler"
        extra: dict[str, Any] = {"dataset": dataset}
        if issubclass_safe(resolve_type(sampler_config, path), DistributedSampler):
            extra["num_replicas"] = distributed.world_size()
            extra["rank"] = distributed.rank()
            extra["shuffle"] = sampler_config.get("shuffle", shuffle)
            extra["seed"] = sampler_config.get("seed", seed)
        sampler = Deferred(sampler_config, path).build(**extra)
    else:
        sampler = sampler_config
    resumable = ResumableSampler(sampler)
    loader = Deferred(arguments, config.path).build(
        dataset=dataset,
        sampler=resumable,
        generator=torch.Generator().manual_seed(seed),
        **_defaults(arguments),
    )
    if len(loader) == 0:
        raise InputError(
            f"{config.path}: no batch in an epoch; the data set has {len(dataset)} samples"
        )
    return loader, resumable


def build_eval_loader(config: Deferred) -> DataLoader:
    """A data loader for evaluation; several processes share its samples, each taken once."""
    arguments, dataset = _take_apart(config)
    arguments.pop("sampler", None)
    if arguments.pop("shuffle", False):
        raise InputError(f"{config.path}.shuffle: evaluation takes the samples in order; set False")
    return Deferred(arguments, config.path).build(
        dataset=dataset, sampler=ShardSampler(dataset), **_defaults(arguments)
    )


def set_epoch(loader: DataLoader, sampler: ResumableSampler, epoch: int, start: int = 0) -> None:
    """Choose the order and the random draws of ``epoch``; begin at sample ``start``."""
    sampler.set_epoch(epoch)
    sampler.start = start
    if hasattr(loader.dataset, "set_epoch"):
        loader.dataset.set_epoch(epoch)


def batches(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches of ``loader``; a mistake met by a worker is reported as if met here.

    A worker's exception arrives with its traceback as the message.
    """
    try:
        yield from loader
    except InputError as error:
        text = str(error)
        if "Original Traceback" not in text:
            raise
        name = f"{InputError.__module__}.{InputError.__qualname__}: "
        raise InputError(text.rpartition(name)[2].strip()) from None


def _take_apart(config: Deferred) -> tuple[dict[str, Any], Any]:
    """The arguments of a data loader's config without its data set, and the data set, built."""
    arguments = dict(config.config)
    if not is_data_loader(arguments, config.path):
        raise InputError(f"{config.path}.type: expected torch.utils.data.DataLoader")
    dataset = build_from_registry(arguments.pop("dataset", None), f"{config.path}.dataset")
    return arguments, dataset


def is_data_loader(config: Any, path: str) -> bool:
    return is_typed(config) and issubclass_safe(resolve_type(config, path), DataLoader)


def issubclass_safe(value: Any, parent: type) -> bool:
    return isinstance(value, type) and issubclass(value, parent)


def _defaults(arguments: dict[str, Any]) -> dict[str, Any]:
    """What a loader needs besides its config."""
    return {
        # pinned memory serves copies to a GPU; without one it would only warn
        "pin_memory": bool(arguments.get("pin_memory")) and torch.cuda.is_available(),
        "worker_init_fn": arguments.get("worker_init_fn", _single_threaded),
    }


def _single_threaded(worker_id: int) -> None:
    """Workers are the parallelism; OpenCV's own threads would fight them for the cores."""
    cv2.setNumThreads(0)
