"""Flow of a sequence: reading, computing, drawing and encoding go on at the same time.

One thread reads and converts frames a little ahead; the caller's computes, by the program's own
threads; a few make the flow of what it gives, draw and write files; one takes the drawn frames in
order to the video. Each waits for the next one when it is too far ahead, so that memory does not
grow with the sequence. All but the computing thread have a lower priority: on few cores the flow is
what the others wait for.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hat import interruption
from hat.opencv_threads import one_opencv_thread
from hat.sequences.estimators import Estimator, Steps
from hat.sequences.frames import Frame, Frames, pairs
from hat.sequences.results import Pair, Results
from hat.sequences.scale import Scale
from hat.sequences.video_file import VideoFile

AHEAD = 4
DRAWING_THREADS = 4
POLL_SECONDS = 0.1
STEP_BACK = 5  # of nice; the system keeps it within its bounds


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        pairs: whose results are written.
        size: (H, W) of the frames.
        computing: seconds in which the flow was computed.
    """

    pairs: int = 0
    size: tuple[int, int] = (0, 0)
    computing: float = 0.0


def run(
    frames: Frames,
    estimate: Estimator,
    results: Results,
    scale: Scale,
    video: VideoFile | None,
    truths: Mapping[int, Path],
    progress: Progress,
    told: Callable[[], None],
) -> None:
    """Compute and write the flow of all pairs of a source.

    A signal (Ctrl-C) ends it when the pairs that are computed by then are written. The video is
    left open, whole as far as it goes.

    Args:
        truths: files of true flows by the number of their pair.
        progress: is kept up to date, after an error too.
        told: called in the order of the pairs when the results of one are written.

    Raises:
        InputError: of reading, computing or writing. What was computed before is written, as far
            as it can be.
        Interrupted: at the end, after a signal.
    """
    started = time.perf_counter()
    reading = _Reader(frames, estimate)
    writing = _Writer(results, video, progress, told)
    try:
        with interruption.watched(), one_opencv_thread():
            try:
                for number, job in enumerate(reading.jobs()):
                    computed = job.compute()
                    waited = writing.waited + reading.waited
                    progress.size = job.first.image.shape[:2]
                    progress.computing = time.perf_counter() - started - waited
                    truth = truths.get(number)
                    flow = partial(job.finish, computed)
                    if not scale.fixed:  # a camera's scale follows from the flows in their order
                        found = flow()
                        scale.of(found)
                        flow = partial(_itself, found)
                    writing.put(partial(_pair, number, job, flow, scale.value, truth))
            finally:  # what is computed is written, also when a frame cannot be read
                writing.finish()
    finally:
        reading.stop()
        writing.stop()


@dataclass(frozen=True)
class _Job:
    """Two frames; what computes their flow, in the order of the jobs; what makes it an array."""

    first: Frame
    second: Frame
    compute: Callable[[], np.ndarray]
    finish: Callable[[np.ndarray], np.ndarray]


def _itself(flow: np.ndarray) -> np.ndarray:
    return flow


def _pair(
    number: int, job: _Job, flow: Callable[[], np.ndarray], scale: float, truth: Path | None
) -> Pair:
    return Pair(number, job.first, job.second, flow(), scale, truth)


def _jobs(frames: Frames, estimate: Estimator) -> Iterator[_Job]:
    if frames.stride == 2:
        for first, second in pairs(frames):
            compute = partial(estimate, first.image, second.image)
            yield _Job(first, second, compute, _itself)
        return
    steps: Steps | None = None
    for first, second in pairs(frames):
        converted = []
        if steps is None:
            steps = estimate.steps(first.image)
            converted.append(steps.convert(first.image, first.name))
        converted.append(steps.convert(second.image, second.name))
        yield _Job(first, second, partial(_last, steps, converted), steps.finish)


def _last(steps: Steps, converted: list[np.ndarray]) -> np.ndarray:
    """What the last of these frames, which follow those before, gives."""
    found = [steps.next(planes) for planes in converted][-1]
    assert found is not None
    return found


def step_back() -> None:
    """Give this thread, and those that it starts, a lower priority than the others have.

    At equal priority, on two cores, a thread that wakes up took the core of the one that computes
    the flow, which then waited for an eighth of the time. Only Linux has priorities of threads.
    """
    if sys.platform == "linux":
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, own + STEP_BACK)


class _Reader:
    """Reads and converts ahead in a thread of its own."""

    def __init__(self, frames: Frames, estimate: Estimator) -> None:
        self._jobs: queue.Queue[_Job | BaseException | None] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self.waited = 0.0  # seconds that the caller had to
        self._thread = threading.Thread(target=self._read, args=(frames, estimate), daemon=True)
        self._thread.start()

    def jobs(self) -> Iterator[_Job]:
        """The pairs, to their end or until a signal comes."""
        while interruption.pending() is None:
            asked = time.perf_counter()
            try:
                found = self._jobs.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            finally:
                self.waited += time.perf_counter() - asked
            if isinstance(found, BaseException):
                raise found
            if found is None:
                return
            yield found

    def stop(self) -> None:
        self._stopped.set()
        # A camera that gives nothing may keep its thread for ever; it ends with the process.
        self._thread.join(timeout=1.0)

    def _read(self, frames: Frames, estimate: Estimator) -> None:
        step_back()
        try:
            for job in _jobs(frames, estimate):
                if not self._put(job):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, one: _Job | BaseException | None) -> bool:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._jobs.put(one, timeout=POLL_SECONDS)
                return True
        return False


class _Writer:
    """Draws and writes in several threads, and encodes the video in order in one."""

    def __init__(
        self,
        results: Results,
        video: VideoFile | None,
        progress: Progress,
        told: Callable[[], None],
    ) -> None:
        self._results, self._video, self._progress, self._told = results, video, progress, told
        count = min(DRAWING_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(count, "draw", initializer=step_back)
        self._drawn: queue.Queue[Future[np.ndarray | None] | None] = queue.Queue(AHEAD + count)
        self._error: BaseException | None = None
        self.waited = 0.0  # seconds that the caller had to
        self._thread = threading.Thread(target=self._encode, daemon=True)
        self._thread.start()

    def put(self, pair: Callable[[], Pair]) -> None:
        """Hand over what makes a pair; waits while too many are not written yet."""
        self._put(self._pool.submit(lambda: self._results.write(pair())))

    def finish(self) -> None:
        """Wait until all is written."""
        self._put(None)
        self._thread.join()
        self._raise()

    def stop(self) -> None:
        """End the threads; what is not begun is not written."""
        self._pool.shutdown(cancel_futures=True)
        while self._thread.is_alive():
            self._error = self._error or RuntimeError("stopped")
            with contextlib.suppress(queue.Full):
                self._drawn.put_nowait(None)
            self._thread.join(timeout=POLL_SECONDS)

    def _put(self, one: Future[np.ndarray | None] | None) -> None:
        asked = time.perf_counter()
        while True:
            self._raise()
            try:
                self._drawn.put(one, timeout=POLL_SECONDS)
                break
            except queue.Full:
                continue
        self.waited += time.perf_counter() - asked

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _encode(self) -> None:
        step_back()
        while (future := self._drawn.get()) is not None:
            if self._error is not None:
                continue
            try:
                image = future.result()
                if self._video is not None and image is not None:
                    self._video.write(image)
                self._progress.pairs += 1
                self._told()
            except BaseException as error:
                self._error = error
