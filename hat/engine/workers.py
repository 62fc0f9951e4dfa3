"""How many data loader workers there can be, and what it means when they fail."""

from __future__ import annotations

import logging
import os
import re
import signal
import weakref
from collections.abc import Callable, Collection
from multiprocessing.util import Finalize
from typing import Any

import cv2
import numpy as np
import torch

from hat import interruption
from hat.engine import distributed
from hat.engine.log_once import log_once
from hat.errors import InputError
from hat.seeding import seeded
from horizon.cpus import usable_cpus

logger = logging.getLogger(__name__)

SHARED_MEMORY = "/dev/shm"
AMPLE = 2**30  # bytes free; with less, it is estimated what the batches in flight need
AMPLE_PAIR = 2**21  # bytes of a sample that is larger than most; many workers and large batches
REMEDY = "give a container more (docker run --shm-size=2g), or set num_workers=0"


def choose_workers(arguments: dict[str, Any], path: str, sample: Callable[[], Any]) -> int:
    """The number of worker processes for a data loader.

    That is ``num_workers``, but no more than this process's share of the CPUs, and no more than
    shared memory has room for; what is chosen instead is logged, once.

    Args:
        arguments: of the data loader.
        path: of the data loader in the config, for messages.
        sample: gives a sample, to see how large it is.

    Raises:
        InputError: ``num_workers`` is no whole number, or negative.
    """
    asked = arguments.get("num_workers", 0)
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 0:
        raise InputError(f"{path}.num_workers is {asked!r}; expected a whole number, 0 or more")
    if asked == 0:
        return 0
    share = max(1, usable_cpus() // local_processes())
    workers = min(asked, share)
    if workers < asked:
        log_once(
            logger,
            f"Data loader workers: {workers} instead of {asked}, one for each CPU that this "
            "process may use",
        )
    free = free_shared_memory()
    ahead, together = arguments.get("prefetch_factor") or 2, arguments.get("batch_size") or 1
    if free is None or free >= max(AMPLE, 2 * workers * ahead * together * AMPLE_PAIR):
        return workers
    with seeded(0):
        batch = size_in_bytes(sample()) * together
    fitting = min(workers, free // max(1, 2 * batch * ahead))  # half, for another loader's workers
    if fitting < workers:
        log_once(
            logger,
            f"Data loader workers: {fitting} instead of {workers}, because {SHARED_MEMORY} has "
            f"{free / 2**20:.0f} MB free and a batch takes {batch / 2**20:.0f} MB; {REMEDY}",
        )
    return fitting


def local_processes() -> int:
    """How many processes of this run share this machine's CPUs."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE") or distributed.world_size()))


def free_shared_memory() -> int | None:
    """Bytes that are free for the batches of workers; None where that is not known."""
    try:
        state = os.statvfs(SHARED_MEMORY)
    except OSError:
        return None
    return state.f_bavail * state.f_frsize


def size_in_bytes(value: Any) -> int:
    """Bytes of the tensors and arrays in a sample."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return int(value.nbytes)
    if isinstance(value, dict):
        return sum(map(size_in_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(size_in_bytes, value))
    return 0


def explain(error: BaseException, exit_codes: Collection[int | None] = ()) -> InputError | None:
    """What the user can do about a failure of the workers; None if it is none of these.

    Args:
        exit_codes: of the worker processes, minus the signal that has ended one.
    """
    text = str(error)
    ended = "DataLoader worker" in text and "Original Traceback" not in text
    if re.search("Too many open files", text):
        return InputError(
            "data loader workers: too many open files; allow more (ulimit -n 8192), or set "
            "num_workers=0"
        )
    if (ended and -signal.SIGBUS in exit_codes) or re.search(
        r"Bus error|shared memory|/torch_\d+_\d+|No space left on device", text, re.IGNORECASE
    ):
        free = free_shared_memory()
        room = "" if free is None else f" ({SHARED_MEMORY} has {free / 2**20:.0f} MB free)"
        return InputError(f"data loader workers: shared memory is full{room}; {REMEDY}")
    if ended and (-signal.SIGKILL in exit_codes or "killed by signal: Killed" in text):
        return InputError(
            "data loader workers: the system has ended one, most likely for lack of memory; set "
            "a smaller num_workers or batch_size"
        )
    return None


def start_worker(worker_id: int) -> None:
    """Workers are the parallelism; OpenCV's own threads would fight them for the cores.

    Signals to the process group are the main process's to handle: it needs its workers until it has
    stopped between two steps.
    """
    for number in interruption.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)


def end_workers(iterator: Any) -> None:
    """Tell the workers of a loader's iterator to end, and wait for them.

    torch does not tell a worker whose exception it has raised, nor any at the end of the process;
    it sends SIGTERM, which :func:`start_worker` leaves to the main process, so that waiting for
    such a worker would never end.
    """
    processes = getattr(iterator, "_workers", ())
    if processes and not iterator._shutdown:
        iterator._workers_status = [process.is_alive() for process in processes]
        iterator._shutdown_workers()


def end_at_exit(iterator: Any) -> None:
    """Let the workers of ``iterator`` end with this process at the latest.

    A process that another Python process has started waits for its children before the functions
    of ``atexit`` run; ``multiprocessing`` calls its own finalizers first, and this one before those
    that close the queues by which workers are told (10).
    """
    if getattr(iterator, "_workers", ()):
        Finalize(iterator, _end, args=(weakref.ref(iterator),), exitpriority=100)


def _end(iterator: weakref.ref[Any]) -> None:
    end_workers(iterator())
