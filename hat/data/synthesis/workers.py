"""Draw and write the pairs of a data set in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context

import cv2
import numpy as np
from tqdm import tqdm

from hat import interruption
from hat.data.flow_io import read_flo, write_flo
from hat.data.image_io import write_ppm
from hat.data.synthesis.drawing import draw_pair
from hat.data.synthesis.render import TextureSource
from hat.data.synthesis.settings import DataSetPaths, GeneratorSettings
from hat.data.synthesis.statistics import FlowStatistics
from hat.data.synthesis.textures import procedural_texture
from hat.errors import InputError
from hat.opencv_threads import one_opencv_thread
from hat.processes import LOOK_SECONDS, end_with_parent, interrupts_blocked

__all__ = ["file_sizes", "generate_pairs", "is_complete"]

PAIRS_PER_TASK = 4  # many enough to hide the hand-over, few enough to share out evenly

_work: partial[FlowStatistics]  # of a worker process


def generate_pairs(
    paths: DataSetPaths,
    settings: GeneratorSettings,
    textures: TextureSource | None,
    num_workers: int,
) -> FlowStatistics:
    """Write every pair that is not there yet; return the flow statistics of all.

    One worker means this process. Several are started by ``spawn``, because ``fork`` would copy
    the threads' locks of whatever the caller has loaded.

    Raises:
        InputError: what a worker reports (full disk, damaged photograph), or a worker died.
    """
    work = partial(_generate_task, paths, settings, textures or procedural_texture)
    count = settings.num_pairs
    tasks = [range(i, min(i + PAIRS_PER_TASK, count)) for i in range(0, count, PAIRS_PER_TASK)]
    statistics = FlowStatistics()
    bar = tqdm(total=count, unit="pair", desc="generating", mininterval=0.5)
    with interruption.watched(), bar:
        results = (
            _in_this_process(work, tasks)
            if min(num_workers, len(tasks)) <= 1
            else _in_workers(work, tasks, min(num_workers, len(tasks)))
        )
        for part, pairs in results:
            interruption.check()
            statistics.merge(part)
            bar.update(pairs)
    return statistics


def _in_this_process(
    work: partial[FlowStatistics], tasks: list[range]
) -> Iterator[tuple[FlowStatistics, int]]:
    for task in tasks:
        with one_opencv_thread():
            result = work(task), len(task)
        yield result


def _in_workers(
    work: partial[FlowStatistics], tasks: list[range], num_workers: int
) -> Iterator[tuple[FlowStatistics, int]]:
    executor = ProcessPoolExecutor(num_workers, get_context("spawn"), _start_worker, (work,))
    try:
        with interrupts_blocked():  # submitting starts the processes
            pending = {executor.submit(_run_in_worker, task): len(task) for task in tasks}
        while pending:
            done, _ = wait(pending, LOOK_SECONDS, FIRST_COMPLETED)
            interruption.check()
            for future in done:
                yield future.result(), pending.pop(future)
    except BrokenProcessPool as error:
        interruption.check_soon()
        raise InputError(
            "--num-workers: a worker process was killed, probably for want of memory; run the same "
            "command with fewer workers: it goes on where it stopped"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker(work: partial[FlowStatistics]) -> None:
    global _work  # handed over once: the photographs that it keeps in memory outlive a task
    _work = work
    cv2.setNumThreads(1)
    end_with_parent()


def _run_in_worker(task: range) -> FlowStatistics:
    return _work(task)


def _generate_task(
    paths: DataSetPaths, settings: GeneratorSettings, textures: TextureSource, task: range
) -> FlowStatistics:
    statistics = FlowStatistics()
    for index in task:
        flow = _read_back(paths, settings, index)
        statistics.add(_write_pair(paths, settings, textures, index) if flow is None else flow)
    return statistics


def _write_pair(
    paths: DataSetPaths, settings: GeneratorSettings, textures: TextureSource, index: int
) -> np.ndarray:
    rng = np.random.default_rng((settings.seed, index))
    _, pair = draw_pair(rng, settings.drawing, textures)
    image1, image2, flow = paths.pair(index)
    write_ppm(image1, pair.image1)
    write_ppm(image2, pair.image2)
    write_flo(flow, pair.flow)
    return pair.flow


def _read_back(paths: DataSetPaths, settings: GeneratorSettings, index: int) -> np.ndarray | None:
    """The flow of a pair that an earlier run has written; None if it must be written (again)."""
    if not is_complete(paths, settings, index):
        return None
    try:
        flow = read_flo(paths.pair(index)[2])
    except InputError:
        return None
    whole = flow.shape[:2] == settings.size and bool(np.isfinite(flow).all())
    return flow if whole else None


def is_complete(paths: DataSetPaths, settings: GeneratorSettings, index: int) -> bool:
    """Are all files of the pair there, in the right length?"""
    for path, expected in zip(paths.pair(index), file_sizes(settings.size), strict=True):
        try:
            if path.stat().st_size != expected:
                return False
        except FileNotFoundError:
            return False
    return True


def file_sizes(size: tuple[int, int]) -> tuple[int, int, int]:
    """Bytes of image 1, image 2 and flow of a pair of images (H, W)."""
    height, width = size
    image = len(f"P6\n{width} {height}\n255\n") + 3 * height * width
    return image, image, 12 + 8 * height * width
