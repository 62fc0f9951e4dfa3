"""Torch in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread inside, as many as before afterwards.

    Sums then do not depend on how many threads there are, and where workers are the parallelism,
    torch's own threads do not fight them for the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
