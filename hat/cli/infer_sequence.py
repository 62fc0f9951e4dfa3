"""``hat infer`` for frames of any source: folder, pattern, images, video, camera."""

from __future__ import annotations

import argparse
import contextlib
import glob
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hat import interruption
from hat.cli.common import print_table
from hat.cli.infer import DEFAULT_MODEL, parse_model_inputs
from hat.data.files import staging_folder, write_file
from hat.errors import InputError
from hat.outputs import check_outputs
from hat.own_files import OwnFiles
from hat.sequences.estimators import Estimator, ProgramEstimator, warnings_told
from hat.sequences.find import find_frames, look_like_pairs
from hat.sequences.frames import Camera, Frames, Pictures, pairs_of
from hat.sequences.results import ENDINGS, METRICS_FILE, VIDEO, Results, names_of
from hat.sequences.run import Progress, run
from hat.sequences.scale import Scale
from hat.sequences.truth import match_truth
from hat.sequences.video_file import CODECS, VideoFile, is_video_name
from hat.visualize.figure import load_ahead
from hat.visualize.painter import FlowPainter
from horizon.cpus import usable_cpus

# Endings of files that somebody may expect; a folder's name may have another one.
OF_FILES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".gif", ".webp", ".flo", ".npz"),
    *(".npy", ".pfm", ".csv", ".html", ".mpg", ".mpeg", ".wmv", ".m4v", ".flv", ".h264", ".h265"),
}
OPTION = "--save-path"
MADE_BY = "hat infer"


@dataclass(frozen=True)
class Plan:
    """The files that will be written.

    Attributes:
        folder: folder of all files.
        kinds: kinds of files for each pair, see :data:`hat.sequences.results.ENDINGS`.
        video: the video's file, or None.
        patterns: patterns for the names of all files in the folder.
    """

    folder: Path
    kinds: tuple[str, ...]
    video: Path | None
    patterns: list[str]


def run_sequence(args: argparse.Namespace) -> int:
    """Compute and write the flow of all pairs; tell what was done, also when Ctrl-C ends it."""
    frames, truths, given = _sources(args)
    planned = plan(args, frames, truths)
    own = OwnFiles(planned.folder, MADE_BY, OPTION)
    estimate, more = _estimator(args, frames)
    check_outputs(_outputs(planned), {**given, **more, "model": estimate.file}, OPTION)
    own.check(planned.patterns)

    metrics = None
    if truths:
        from hat.sequences.metrics import Metrics  # loads torch, as the metrics need it

        metrics = Metrics()
    results = Results(
        planned.folder,
        planned.kinds,
        FlowPainter(args.style, args.layout or "alone", not args.no_legend),
        FlowPainter(args.style, args.layout or "beside", not args.no_legend)
        if planned.video
        else None,
        metrics,
        own.note,
    )
    scale = Scale(args.max_flow)
    video = VideoFile(planned.video, frames.rate) if planned.video else None
    progress = Progress()
    started = time.perf_counter()
    stopped: interruption.Interrupted | None = None
    with own.making(planned.patterns), warnings_told(), _kept(video):
        if planned.video or set(planned.kinds) & {"picture", "figure"}:
            if "figure" in planned.kinds or not args.no_legend:
                load_ahead()
            scale.look_at(frames, estimate)
        try:
            with _bar(frames) as bar:
                run(frames, estimate, results, scale, video, truths, progress, bar.update)
        except interruption.Interrupted as error:
            stopped = error
        except InputError as error:
            raise InputError(f"{error} ({_far(progress, frames)})") from error
        if video is not None:
            video.publish(own.note)
        if metrics is not None and METRICS_FILE in planned.patterns:
            with staging_folder(planned.folder) as staging:
                write_file(staging / METRICS_FILE, metrics.csv())
                own.note(staging)
    seconds = time.perf_counter() - started
    _report(frames, estimate, planned, progress, seconds)
    if metrics is not None:
        from hat.sequences.metrics import COLUMNS

        print_table(metrics.table(), ("pair", *COLUMNS))
        if warning := metrics.warning():
            print(warning, file=sys.stderr)
    endless = isinstance(frames, Camera) and frames.limit is None
    if stopped is not None and not endless:
        stopped.note = f"{_far(progress, frames)}; what they gave is whole"
        raise stopped
    return 0


def _sources(
    args: argparse.Namespace,
) -> tuple[Frames, dict[int, Path], dict[str, str | Path | None]]:
    """The frames, the true flows by number of pair, and all files by what messages call them."""
    words = args.inputs
    truth = args.truth
    if args.model_inputs:
        named = parse_model_inputs(args.model_inputs)
        words = [named["img1"], named["img2"]]
        if truth and "gt" in named:
            raise InputError("--truth beside gt of --model-inputs; leave one of them out")
        truth = truth or named.get("gt")
    frames = find_frames(
        words,
        side_by_side=args.pairs,
        rate=args.fps,
        start=args.start,
        limit=args.frames,
        every=args.every,
    )
    if isinstance(frames, Pictures) and frames.stride == 1 and look_like_pairs(frames.files):
        first, second, third = (file.name for file in frames.files[:3])
        print(
            f"warning: {first}, {second}, {third} ... have the names of separate pairs; with "
            "--pairs they are taken two by two",
            file=sys.stderr,
        )
    truths: dict[int, Path] = {}
    if truth:
        names = frames.pair_names()
        if names is None:
            raise InputError(f"--truth: nobody knows beforehand how many frames {frames.label} has")
        truths = match_truth(truth, names)
    given: dict[str, str | Path | None] = {word: word for word in words if Path(word).exists()}
    if isinstance(frames, Pictures):
        given.update({str(file): file for file in frames.files})
    given.update({str(file): file for file in truths.values()})
    return frames, truths, given


def _estimator(args: argparse.Namespace, frames: Frames) -> tuple[Estimator, Mapping[str, Any]]:
    """What computes the flow, and the further files that it reads."""
    if args.config and not args.model:
        from hat.cli.infer_pair import network_estimator  # loads torch

        return network_estimator(args)
    # Of a longer sequence one core is for reading, drawing and encoding: a program whose threads
    # wait for each other loses much more where they have to share it.
    threads = args.threads
    if threads is None and pairs_of(frames) != 1:
        threads = max(1, usable_cpus() - 1)
    return ProgramEstimator(args.model or DEFAULT_MODEL, threads), {"config": args.config}


def plan(args: argparse.Namespace, frames: Frames, truths: Mapping[int, Path]) -> Plan:
    """Decide what to write, from the arguments and the source.

    Raises:
        InputError: kinds that need a folder with a video's file, error maps without true flow,
            results among the frames of a folder, or two pairs of one name.
    """
    path = Path(args.save_path)
    pictures = frames if isinstance(frames, Pictures) else None
    single = pictures is not None and pairs_of(frames) == 1
    is_video = is_video_name(path) and not path.is_dir()
    if is_video:
        kinds = args.write or [VIDEO]
        folder, video = path.parent, path
        if set(kinds) != {VIDEO}:
            others = ", ".join(kind for kind in kinds if kind != VIDEO)
            raise InputError(f"{path}: is one video; the files of --write {others} need a folder")
    else:
        if path.suffix.lower() in OF_FILES and not path.is_dir():
            raise InputError(
                f"{path}: expected a folder or a video ({', '.join(CODECS)}); pictures, .flo and "
                "other files of the pairs are written to a folder: choose which by --write"
            )
        folder = path
        kinds = args.write or (
            ["flo", "picture", *(["figure"] if single else [])] if pictures else [VIDEO]
        )
        if truths and not args.write:
            kinds = [*kinds, "error"]
        video = folder / f"{_title(frames)}_flow.mp4"
    if "error" in kinds and not truths:
        raise InputError("--write error: error maps need true flow; name it by --truth")
    sources = {file.resolve().parent for file in pictures.files} if pictures else set()
    if folder.resolve() in sources and not single and not is_video:
        raise InputError(
            f"{folder}: holds the frames, and results among them would be taken for frames "
            f"later; choose another {OPTION}"
        )
    files = tuple(kind for kind in ENDINGS if kind in kinds)
    patterns = _pair_patterns(files, frames, truths)
    if VIDEO in kinds:
        patterns.append(video.name)
    if truths and not is_video:
        patterns.append(METRICS_FILE)
    return Plan(folder, files, video if VIDEO in kinds else None, patterns)


def _pair_patterns(kinds: Sequence[str], frames: Frames, truths: Mapping[int, Path]) -> list[str]:
    """Names of the pairs' files; patterns of them where nobody knows how many there are."""
    if not kinds:
        return []
    names = frames.pair_names()
    if isinstance(frames, Pictures):
        assert names is not None
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(
                f"{frames.label}: several pictures have the name {twice}, so that their results "
                "would be one file; give one folder at a time"
            )
        return [
            file
            for number, name in enumerate(names)
            for file in names_of(kinds, name, number in truths)
        ]
    # What a video's header says about their number is not always true.
    return names_of(kinds, f"{glob.escape(_title(frames))}_*", bool(truths))


def _outputs(planned: Plan) -> list[Path]:
    """The files that will be written, as far as they are known, and those that could be."""
    found = {planned.folder / name for name in planned.patterns if "*" not in name}
    for pattern in planned.patterns:
        if "*" in pattern:
            found.update(planned.folder.glob(pattern))
    return sorted(found) or [planned.folder / "flow"]


def _title(frames: Frames) -> str:
    """The name of the source, as a beginning of names."""
    if isinstance(frames, Camera):
        return frames.label
    if isinstance(frames, Pictures):
        several = len(frames.files) > 2
        return frames.files[0].absolute().parent.name if several else frames.files[0].stem
    return Path(frames.label).stem


@contextlib.contextmanager
def _kept(video: VideoFile | None) -> Iterator[None]:
    """Without a published video nothing of it is left behind."""
    try:
        yield
    finally:
        if video is not None:
            video.discard()


@contextlib.contextmanager
def _bar(frames: Frames) -> Iterator[tqdm[Any]]:
    with tqdm(total=pairs_of(frames), unit="pair", disable=None) as bar:
        yield bar


def _far(progress: Progress, frames: Frames) -> str:
    total = pairs_of(frames)
    if total is not None and total < 1:
        return "nothing was computed"
    return f"after {progress.pairs}{'' if total is None else f' of {total}'} pairs"


def _report(
    frames: Frames, estimate: Estimator, planned: Plan, progress: Progress, seconds: float
) -> None:
    """Print what was computed, and where the results are."""
    if not progress.pairs:
        return
    height, width = progress.size
    each = 1000 * progress.computing / progress.pairs
    print(
        f"{progress.pairs} {'flow' if progress.pairs == 1 else 'flows'} of {width}x{height} pixels "
        f"in {seconds:.2f} s, {progress.pairs / seconds:.1f} per second; computed in {each:.1f} ms "
        f"each by {estimate.describe(progress.size)}"
    )
    total = pairs_of(frames)
    if total is not None and progress.pairs < total and not interruption.pending():
        print(
            f"warning: {frames.label} announces {total + 1} frames and ends after "
            f"{progress.pairs + 1}",
            file=sys.stderr,
        )
    many = progress.pairs > 1
    for kind in planned.kinds:
        name = "*" if many else _first(planned)
        print(f"{kind:9}{planned.folder / (name + ENDINGS[kind])}")
    if planned.video is not None:
        print(f"{VIDEO:9}{planned.video}")
    if METRICS_FILE in planned.patterns:
        print(f"{'metrics':9}{planned.folder / METRICS_FILE}")


def _first(planned: Plan) -> str:
    return planned.patterns[0].removesuffix(ENDINGS[planned.kinds[0]])
