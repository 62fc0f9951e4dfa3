"""Data loaders from configs, with an order of samples that depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    default_collate,
)

from hat import interruption
from hat.data.collates import CollateBySize
from hat.engine import distributed
from hat.engine.samplers import ResumableSampler, ShardSampler, SharedOrder
from hat.engine.workers import choose_workers, end_at_exit, end_workers, explain, start_worker
from hat.errors import InputError
from hat.registry import Component, build
from hat.seeding import check_seed

ONLY_WITH_WORKERS = ("prefetch_factor", "persistent_workers", "multiprocessing_context", "timeout")


def build_train_loader(config: Component, seed: int) -> tuple[DataLoader, ResumableSampler]:
    """The training data loader and its sampler.

    Without a sampler, DistributedSampler gives an order that (seed, epoch) determines. ``shuffle``
    beside a ``sampler``, which ``DataLoader`` refuses, is handed to the sampler. A sampler that
    knows nothing of several processes is shared among them by :class:`SharedOrder`.
    """
    seed = check_seed(seed)
    dataset = build_dataset(config)
    resumable = ResumableSampler(_train_sampler(config, dataset, seed))
    loader = _loader(
        config,
        dataset=dataset,
        sampler=resumable,
        generator=torch.Generator().manual_seed(seed),
    )
    if len(loader) == 0:
        raise InputError(
            f"{config.path}: no batch in an epoch; the data set has {len(dataset)} samples"
        )
    return loader, resumable


def build_eval_loader(config: Component, by_size: bool = False) -> DataLoader:
    """A data loader for evaluation; several processes share its samples, each taken once.

    With ``by_size``, images of several sizes in one batch make it a list of batches. The samples
    come in the data set's order, or in that of a sampler of another kind than
    DistributedSampler, which would repeat some.
    """
    dataset = build_dataset(config)
    given = config.arguments.get("sampler")
    for arguments in (config.arguments, getattr(given, "arguments", {})):
        if arguments.get("shuffle", False):
            raise InputError(
                f"{config.path}.shuffle: evaluation takes the samples in order; set False"
            )
    sampler: Any = ShardSampler(dataset)
    if given is not None and not _knows_processes(given):
        sampler = SharedOrder(_build_sampler(given, dataset), seed=0, equal=False)
    if by_size and config.arguments.get("batch_size", 1) is not None:
        collate = build(config.arguments.get("collate_fn")) or default_collate
        config = config.replaced(collate_fn=CollateBySize(collate))
    return _loader(config, dataset=dataset, sampler=sampler)


def set_epoch(
    loader: DataLoader,
    sampler: ResumableSampler,
    epoch: int,
    start: int = 0,
    progress: float | None = None,
) -> None:
    """Choose the order and the random draws of ``epoch``; begin at sample ``start``.

    A data set with ``set_progress`` is told ``progress``, how much of the run is over, 0 to 1.
    """
    sampler.set_epoch(epoch)
    sampler.start = start
    if hasattr(loader.dataset, "set_epoch"):
        loader.dataset.set_epoch(epoch)
    if progress is not None and hasattr(loader.dataset, "set_progress"):
        loader.dataset.set_progress(progress)


def batches(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches of ``loader``; a mistake met by a worker is reported as if met here.

    A worker's exception arrives with its traceback as the message. A signal to the whole process
    group ends the workers too, which is an interruption and no failure.

    Raises:
        InputError: the workers lack shared memory, memory or files to open, or what the data set
            itself finds wrong.
    """
    iterator = iter(loader) if not isinstance(loader, DataLoader) else _started(loader)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except InputError as error:
            end_workers(iterator)
            text = str(error)
            if "Original Traceback" not in text:
                raise
            name = f"{InputError.__module__}.{InputError.__qualname__}: "
            raise InputError(text.rpartition(name)[2].strip()) from None
        except (RuntimeError, OSError) as error:
            interruption.check_soon()
            end_workers(iterator)
            _explain(loader, error, iterator)
            raise
        except Exception:  # of any kind: it may be the data set's
            end_workers(iterator)
            raise
        yield batch


def build_dataset(config: Component) -> Any:
    """The data set of a data loader's config; InputError if it describes something else."""
    if not config.is_a(DataLoader):
        raise InputError(f"{config.path}.type: expected torch.utils.data.DataLoader")
    if config.arguments.get("batch_sampler") is not None:
        raise InputError(
            f"{config.path}.batch_sampler: batches come from 'sampler', 'batch_size' and "
            "'drop_last', so that a run can be resumed inside an epoch; use these"
        )
    dataset = build(config.arguments.get("dataset"))
    if dataset is None:
        raise InputError(
            f"{config.path}.dataset: found none; expected the data set of this loader, "
            "dict(type=MyData, ...)"
        )
    if isinstance(dataset, IterableDataset):
        raise InputError(
            f"{config.path}.dataset: {type(dataset).__name__} is an IterableDataset, whose samples "
            "have no numbers; expected a data set with __getitem__ and __len__"
        )
    return dataset


def _train_sampler(config: Component, dataset: Any, seed: int) -> Any:
    path = f"{config.path}.sampler"
    shuffle = bool(config.arguments.get("shuffle", False))
    given = config.arguments.get("sampler")
    if given is None:
        given = Component(DistributedSampler, {}, path)
    if _knows_processes(given):
        if not isinstance(given, Component):
            return given
        return _build_sampler(
            given,
            dataset,
            num_replicas=distributed.world_size(),
            rank=distributed.rank(),
            shuffle=given.arguments.get("shuffle", shuffle),
            seed=check_seed(given.arguments.get("seed", seed)),
        )
    takes_shuffle = isinstance(given, Component) and "shuffle" in given.parameters
    random = given.is_a(RandomSampler) if isinstance(given, Component) else True
    if shuffle and not takes_shuffle and not random:
        raise InputError(
            f"{config.path}.shuffle: {given.target.__name__} decides the order; leave shuffle out"
        )
    extra = {"shuffle": given.arguments.get("shuffle", shuffle)} if takes_shuffle else {}
    sampler = _build_sampler(given, dataset, **extra)
    if not hasattr(sampler, "__len__"):
        raise InputError(
            f"{path}: {type(sampler).__name__} has no length (__len__), which epochs and progress "
            "are counted by"
        )
    return SharedOrder(sampler, seed, equal=True)


def _knows_processes(sampler: Any) -> bool:
    """Whether a sampler gives each process a share of its own by itself."""
    if isinstance(sampler, Component):
        return sampler.is_a(DistributedSampler) or {"num_replicas", "rank"} <= sampler.parameters
    return hasattr(sampler, "num_replicas") and hasattr(sampler, "rank")


def _build_sampler(sampler: Any, dataset: Any, **extra: Any) -> Any:
    """The sampler that a config describes, handed the data set under the name that it takes."""
    if not isinstance(sampler, Component):
        return sampler
    known = sampler.parameters
    if not sampler.is_a(DistributedSampler):
        extra = {key: value for key, value in extra.items() if key in known}
    for name in ("dataset", "data_source"):
        if name in known or (name == "dataset" and sampler.is_a(DistributedSampler)):
            return sampler.build(**{name: dataset}, **extra)
    return sampler.build(**extra)


def _loader(config: Component, **objects: Any) -> DataLoader:
    """The loader of ``config`` with its data set and sampler: all that differs from the config."""
    arguments, dataset = config.arguments, objects["dataset"]
    workers = choose_workers(arguments, config.path, lambda: dataset[0])
    # The sampler has been told of shuffle; without workers torch refuses what is about them.
    without = config.without("shuffle", *(() if workers else ONLY_WITH_WORKERS))
    loader: DataLoader = without.build(
        **objects,
        num_workers=workers,
        # pinned memory serves copies to a GPU; without one it would only warn
        pin_memory=bool(arguments.get("pin_memory")) and torch.cuda.is_available(),
        worker_init_fn=arguments.get("worker_init_fn", start_worker),
    )
    return loader


def _started(loader: DataLoader) -> Iterator[Any]:
    try:
        iterator: Iterator[Any] = iter(loader)
    except (RuntimeError, OSError) as error:
        _explain(loader, error)
        raise
    end_at_exit(iterator)
    return iterator


def _explain(loader: Any, error: Exception, iterator: Any = None) -> None:
    """InputError for a failure of the workers that has nothing to do with the data."""
    processes = getattr(iterator, "_workers", ())  # torch's message may lack how one has ended
    codes = {getattr(process, "exitcode", None) for process in processes}
    found = explain(error, codes) if getattr(loader, "num_workers", 0) else None
    if found:
        raise found from error
