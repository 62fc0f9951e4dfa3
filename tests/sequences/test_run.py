"""Reading, computing and writing at the same time, in order and in bounded memory."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hat import interruption
from hat.errors import InputError
from hat.sequences.estimators import PairEstimator
from hat.sequences.frames import Frame
from hat.sequences.results import Pair
from hat.sequences.run import AHEAD, DRAWING_THREADS, STEP_BACK, Progress, run
from hat.sequences.scale import LEAST, Scale
from hat.sequences.video_file import VideoFile
from tests.other_processes import WATCHDOG_SECONDS
from tests.sequences.media import video_frames


class Counted:
    """``count`` frames whose grey value is their number; counts those that were asked for."""

    label, rate = "counted", 10.0

    def __init__(self, count: int, stride: int = 1, broken: int | None = None) -> None:
        self.count: int | None = count
        self.stride, self.broken = stride, broken
        self.read = 0
        self.changed = threading.Condition()

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self.count or 0):
            if number == self.broken:
                raise InputError(f"frame {number} is damaged")
            with self.changed:
                self.read += 1
                self.changed.notify_all()
            yield Frame(np.full((8, 8, 3), number % 256, np.uint8), f"f{number}")

    def samples(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return iter(())

    def pair_names(self) -> list[str] | None:
        return None


class Written:
    """Instead of files: which pairs came, and a frame of the video for each."""

    def __init__(self) -> None:
        self.pairs: dict[int, Pair] = {}

    def write(self, pair: Pair) -> np.ndarray | None:
        self.pairs[pair.number] = pair
        return np.full((32, 32, 3), 5 * pair.number % 256, np.uint8)


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A flow that says which images it is of."""
    return np.stack([first[..., 0], second[..., 0]], axis=2).astype(np.float32)


def go(frames: Counted, results: object, video: VideoFile | None = None) -> Progress:
    progress = Progress()
    told: list[int] = []
    estimate = PairEstimator(difference, "difference")
    scale = Scale(1.0)
    try:
        run(frames, estimate, results, scale, video, {}, progress, lambda: told.append(1))  # type: ignore[arg-type]
    finally:
        assert len(told) == progress.pairs
    return progress


@pytest.mark.parametrize("stride", [1, 2])
def test_every_pair_has_its_flow_and_the_video_is_in_order(tmp_path: Path, stride: int) -> None:
    results, video = Written(), VideoFile(tmp_path / "clip.avi", 10.0)
    progress = go(Counted(40, stride), results, video)
    video.publish()
    expected = [(i, i + 1) for i in range(0, 39, stride)]
    assert progress.pairs == len(expected)
    assert progress.size == (8, 8)
    for number, (first, second) in enumerate(expected):
        pair = results.pairs[number]
        assert (pair.first.name, pair.second.name) == (f"f{first}", f"f{second}")
        assert pair.flow[0, 0].tolist() == [first, second]
    shades = [int(image.mean()) for image in video_frames(tmp_path / "clip.avi")[0]]
    assert shades == pytest.approx([5 * number for number in range(len(expected))], abs=4)


def test_frames_are_read_ahead_and_not_too_far() -> None:
    frames = Counted(100)
    leads = []

    class Slow(Written):
        def write(self, pair: Pair) -> np.ndarray | None:
            if pair.number == 0:  # until others have been read meanwhile
                with frames.changed:
                    assert frames.changed.wait_for(
                        lambda: frames.read > 2 + AHEAD, WATCHDOG_SECONDS
                    )
            leads.append(frames.read - pair.number)
            return super().write(pair)

    go(frames, Slow())
    assert max(leads) > 2 + AHEAD
    assert max(leads) <= 2 * AHEAD + 2 * DRAWING_THREADS + 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_only_the_computing_thread_keeps_the_priority() -> None:
    nice: dict[str, set[int]] = {"reads": set(), "computes": set(), "draws": set()}

    def note(part: str) -> None:
        nice[part].add(os.getpriority(os.PRIO_PROCESS, 0))

    class Reads(Counted):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                note("reads")
                yield frame

    class Draws(Written):
        def write(self, pair: Pair) -> np.ndarray | None:
            note("draws")
            return super().write(pair)

    def computes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        note("computes")
        return difference(first, second)

    own = os.getpriority(os.PRIO_PROCESS, 0)
    estimate = PairEstimator(computes, "difference")
    run(Reads(9), estimate, Draws(), Scale(1.0), None, {}, Progress(), lambda: None)  # type: ignore[arg-type]
    later = min(own + STEP_BACK, 19)
    assert nice == {"reads": {later}, "computes": {own}, "draws": {later}}


def test_an_error_keeps_what_was_written_before(tmp_path: Path) -> None:
    results = Written()
    with pytest.raises(InputError, match="frame 9 is damaged"):
        go(Counted(40, broken=9), results)
    assert set(results.pairs) <= set(range(8))

    class Full(Written):
        def write(self, pair: Pair) -> np.ndarray | None:
            if pair.number == 5:
                raise InputError("no room")
            return super().write(pair)

    frames = Counted(10_000)
    with pytest.raises(InputError, match="no room"):
        go(frames, Full())
    assert frames.read < 100


def test_a_signal_ends_it_after_what_is_computed(tmp_path: Path) -> None:
    class Interrupting(Written):
        def write(self, pair: Pair) -> np.ndarray | None:
            if pair.number == 3:
                interruption.request(signal.SIGINT)
            return super().write(pair)

    results, video = Interrupting(), VideoFile(tmp_path / "clip.avi", 10.0)
    with interruption.signals_handled(), pytest.raises(interruption.Interrupted):
        go(Counted(10_000), results, video)
    video.publish()
    frames, _ = video_frames(tmp_path / "clip.avi")
    assert 4 <= len(frames) == len(results.pairs) < 100
    assert set(results.pairs) == set(range(len(frames)))


def test_a_scale_is_fixed_given_or_growing() -> None:
    def still(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.full((8, 8, 2), 0.1, np.float32)

    class Sampled(Counted):
        def samples(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for speed in (1, 17, 3):
                yield np.full((8, 8, 3), speed, np.uint8), np.zeros((8, 8, 3), np.uint8)

    fast = np.full((8, 8, 2), (37.0, 0.0), np.float32)
    fixed = Scale()
    fixed.look_at(Sampled(2), PairEstimator(difference, ""))
    assert fixed.value == 20.0
    assert fixed.of(fast) == 20.0
    quiet = Scale()
    quiet.look_at(Sampled(2), PairEstimator(still, ""))
    assert quiet.value == LEAST
    given = Scale(0.5)
    given.look_at(Sampled(2), PairEstimator(difference, ""))
    assert given.of(fast) == 0.5
    growing = Scale()
    growing.look_at(Counted(2), PairEstimator(difference, ""))
    assert [growing.of(flow) for flow in (fast / 37, fast, fast / 37)] == [LEAST, 40.0, 40.0]
