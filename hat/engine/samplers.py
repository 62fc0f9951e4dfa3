"""The order of samples: the same in every process for one (seed, epoch), and shared among them."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import islice
from typing import Any

import torch
from torch.utils.data import Sampler

from hat.engine import distributed
from hat.seeding import seeded


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


class SharedOrder(Sampler[int]):
    """This process's share of the order of a sampler that knows nothing of other processes.

    Every process asks its own copy of the sampler for the whole order, with all random numbers
    seeded by (seed, epoch), and takes every ``world_size``-th sample of it.

    Args:
        sampler: has a length and yields indices.
        seed: of the order, with the epoch.
        equal: repeat the first samples at the end, fewer than there are processes, so that every
            process has as many: in training they wait for each other at every step.
    """

    def __init__(self, sampler: Any, seed: int, equal: bool) -> None:
        self.sampler = sampler
        self.seed = seed
        self.equal = equal
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        world = distributed.world_size()
        with seeded(self.seed + self.epoch):
            generator = getattr(self.sampler, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(self.seed + self.epoch)
            order = [int(index) for index in islice(self.sampler, len(self.sampler))]
        missing = -len(order) % world if self.equal else 0
        order += [order[i % len(order)] for i in range(missing)] if order else []
        return iter(order[distributed.rank() :: world])

    def __len__(self) -> int:
        total, world = len(self.sampler), distributed.world_size()
        return -(-(total - (0 if self.equal else distributed.rank())) // world)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)
