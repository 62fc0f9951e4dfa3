"""Packing a split of FlyingChairs into LMDB with several processes."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hat import interruption
from hat.data.flow_io import known_flow
from hat.data.packers.flyingchairs_layout import SUFFIXES, find_raw_folder, read_pair
from hat.data.packers.lmdb_writer import LmdbWriter
from hat.data.records import encode_record
from hat.errors import InputError
from hat.outputs import check_outputs

__all__ = ["PackSummary", "pack_flyingchairs"]

Packed = tuple[bytes, dict[str, Any]]
QUEUED_PER_WORKER = 4  # bounds the memory: a packed pair is about half a megabyte


@dataclass(frozen=True)
class PackSummary:
    """What a run of the packer did."""

    folder: Path
    pairs: int
    resumed: int
    raw_bytes: int
    packed_bytes: int
    seconds: float

    def __str__(self) -> str:
        done = self.pairs - self.resumed
        again = f" ({self.resumed} of them by an earlier run)" if self.resumed else ""
        return (
            f"{self.folder}: {self.pairs} pairs{again}, {self.raw_bytes / 1e6:.1f} MB -> "
            f"{self.packed_bytes / 1e6:.1f} MB (ratio {self.packed_bytes / self.raw_bytes:.3f}), "
            f"{done / max(self.seconds, 1e-9):.1f} pairs/s"
        )


def pack_flyingchairs(
    source: Path,
    target: Path,
    split_name: str,
    workers: int = 1,
    skip_missing: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> PackSummary:
    """Pack the pairs of a split into ``target/{split_name}_lmdb``.

    Args:
        source: raw FlyingChairs folder.
        target: folder of the result; made if missing.
        split_name: ``"train"`` or ``"val"``.
        workers: encoding processes; 0 encodes in this one.
        skip_missing: leave out pairs without all three files instead of refusing.
        overwrite: replace a finished data set, at the end, at once.
        progress: show a bar.

    Raises:
        InputError: missing or damaged source files, an existing data set, a full disk.
        Interrupted: by a signal; the same call continues.
    """
    start = time.monotonic()
    raw = find_raw_folder(source)
    names = raw.whole_names(
        split_name, skip_missing, "get the files, or pack what is there with --skip-missing"
    )
    final = target / f"{split_name}_lmdb"
    read = {"raw data": raw.data, "split file": raw.split_file}
    check_outputs([final / "data.mdb"], read, "--target-data-dir")
    plan = {"source": str(raw.data.resolve()), "split": split_name}
    # The processes start before the writer opens its files, so that none of them holds the lock.
    with (
        interruption.watched(),
        _encoder(workers) as encode,
        LmdbWriter(final, plan, overwrite) as writer,
    ):
        ready = writer.done
        sources = {name: _source_state(raw.data, name) for name in names}
        entries = {n: ready[n] for n in names if n in ready and ready[n]["source"] == sources[n]}
        resumed = len(entries)
        todo = [name for name in names if name not in entries]
        bar = tqdm(
            total=len(names), initial=resumed, desc=final.name, unit="pair", disable=not progress
        )
        try:
            with bar:
                for name, (record, facts) in zip(
                    todo, encode([(raw.data, name) for name in todo]), strict=True
                ):
                    entries[name] = {**facts, "source": sources[name], "packed": len(record)}
                    writer.add(name, record, entries[name])
                    bar.update()
                    interruption.check()
        except (InputError, interruption.Interrupted):
            writer.commit()  # a later run continues from here
            raise
        totals = {
            key: sum(int(entry[key]) for entry in entries.values()) for key in ("raw", "packed")
        }
        meta = {
            "dataset": "FlyingChairs",
            "split": split_name,
            "raw_bytes": totals["raw"],
            "packed_bytes": totals["packed"],
            "sparse": any(entry["unknown"] for entry in entries.values()),
            "created_by": f"horizon-flow {_version()}",
        }
        writer.finish(names, meta)
    seconds = time.monotonic() - start
    return PackSummary(final, len(names), resumed, totals["raw"], totals["packed"], seconds)


def encode_pair(job: tuple[Path, str]) -> Packed:
    """Read and pack one pair: (record, what the data set's description needs to know of it)."""
    data, name = job
    images, flow = read_pair(data, name)
    unknown = int((known_flow(flow)[1] == 0).sum())
    attributes = {"name": name, "color_space": "rgb", "unknown": unknown}
    record = encode_record({"img": images, "gt_flow": flow}, attributes)
    raw = sum((data / (name + suffix)).stat().st_size for suffix in SUFFIXES)
    return record, {"raw": raw, "unknown": unknown}


def _source_state(data: Path, name: str) -> list[list[int]]:
    """Size and time of the files of a pair: a change after a killed run is packed again."""
    states = [(data / (name + suffix)).stat() for suffix in SUFFIXES]
    return [[state.st_size, state.st_mtime_ns] for state in states]


@contextmanager
def _encoder(workers: int) -> Iterator[Callable[[Iterable[tuple[Path, str]]], Iterator[Packed]]]:
    """A function that maps jobs to packed pairs, in order, with so many processes."""
    if workers == 0:
        yield lambda jobs: map(encode_pair, jobs)
        return
    # Forked workers need no importable main module; where there is no fork, spawn.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context(method),
        initializer=_start_worker,
        initargs=(os.getpid(),),
    )
    try:
        pool.submit(os.getpid).result()  # starts all of them
        yield lambda jobs: _ordered(pool, jobs, workers * QUEUED_PER_WORKER)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ordered(
    pool: ProcessPoolExecutor, jobs: Iterable[tuple[Path, str]], queued: int
) -> Iterator[Packed]:
    pending: deque[Future[Packed]] = deque()
    try:
        for job in jobs:
            pending.append(pool.submit(encode_pair, job))
            if len(pending) >= queued:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        interruption.check_soon()
        raise InputError(
            "a packing process died, perhaps for lack of memory; run the same command to "
            "continue, with fewer --num-workers"
        ) from error


def _start_worker(parent: int) -> None:
    """Leave signals to the parent, and do not outlive it when it is killed."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # with which a broken pool ends its processes

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _version() -> str:
    try:
        return importlib.metadata.version("horizon-flow")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
