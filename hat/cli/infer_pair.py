"""``hat infer`` with a config's own functions: ``infer_cfg`` reads the images and draws."""

from __future__ import annotations

import argparse
import glob
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hat.cli import common
from hat.cli.infer import DEFAULT_STAGE, parse_model_inputs
from hat.cli.reads import reads
from hat.cli.sections import read_section, stage_of_file, trained_model
from hat.config import Config
from hat.data.files import staging_folder
from hat.data.flow_io import write_flo
from hat.engine import distributed
from hat.engine.processors import to_device
from hat.errors import InputError
from hat.inference import pair_batch
from hat.outputs import check_outputs
from hat.own_files import OwnFiles
from hat.paths import find_input
from hat.registry import build_from_registry
from hat.sequences.estimators import PairEstimator, ProgramEstimator, warnings_told
from hat.sequences.metrics import Metrics
from hat.sequences.truth import read_truth

OPTION = "--save-path"
MADE_BY = "hat infer"


def run_pair(args: argparse.Namespace) -> int:
    """Two images through the functions and the network of ``infer_cfg``, or through a program."""
    config = common.load_config(args)
    settings = read_section(config, "infer_cfg")
    inputs = (
        parse_model_inputs(args.model_inputs)
        if args.model_inputs
        else {
            key: str(find_input(path, f"infer_cfg.infer_inputs.{key}"))
            for key, path in settings.get("infer_inputs", {}).items()
        }
    )
    folder = Path(args.save_path)
    viz = build_from_registry(settings["viz_func"], "infer_cfg.viz_func")
    name = Path(inputs.get("img1", "")).stem
    outputs = output_files(viz, folder, name, inputs)
    check_outputs(outputs, {**reads(config, model=args.model, ckpt=args.ckpt), **inputs}, OPTION)
    own = OwnFiles(folder, MADE_BY, OPTION)
    patterns = [path.name for path in outputs] if hasattr(viz, "files") else [f"{name}*"]
    own.check(patterns)
    batch = settings["process_inputs"](inputs)
    height, width = batch["img"].shape[-2:]
    truth = read_truth(inputs["gt"], (height, width)) if "gt" in inputs else None
    pair = batch["img"][0].permute(1, 2, 0).numpy()  # before the transforms, as the figure shows it

    if args.model:
        flow, seconds, source = by_program(args, batch, pair)
    else:
        compute, source = network(args, config, settings)
        started = time.perf_counter()
        flow = compute(batch)
        seconds = time.perf_counter() - started

    gt_flow, gt_valid = truth if truth else (None, None)
    with own.making(patterns), staging_folder(folder) as staging:
        write_flo(staging / f"{name}.flo", flow)
        drawn = viz(
            pair[..., :3],
            pair[..., 3:],
            flow,
            name,
            gt_flow=gt_flow,
            gt_valid=gt_valid,
            save_path=staging,
        )
        own.note(staging)
    pictures = {kind: folder / path.relative_to(staging) for kind, path in drawn.items()}
    files = {"flo": folder / f"{name}.flo", **pictures}
    speed = np.hypot(flow[..., 0], flow[..., 1])
    print(f"{width}x{height} pixels, {seconds:.3f} s {source}")
    print(f"Flow: mean {speed.mean():.2f} px, largest {speed.max():.2f} px")
    if truth:
        metrics = Metrics()
        metrics.add(0, name, flow, *truth)
        print(errors(metrics.overall()))
        if warning := metrics.warning():
            print(warning, file=sys.stderr)
    for kind, path in files.items():
        print(f"{kind:7}{path}")
    return 0


def network(
    args: argparse.Namespace, config: Config, settings: Mapping[str, Any]
) -> tuple[Callable[[dict[str, Any]], np.ndarray], str]:
    """A function of a batch that gives its flow (H, W, 2) by a network in torch, and its name."""
    device = distributed.default_device()
    stage = stage_of_file(args.ckpt, args.stage) if args.ckpt else args.stage or DEFAULT_STAGE
    model, source = trained_model(config, "infer_cfg", stage, args.ckpt)
    model = model.to(device)
    transforms = build_from_registry(settings["transforms"], "infer_cfg.transforms")

    def compute(batch: dict[str, Any]) -> np.ndarray:
        with torch.inference_mode():
            batch = to_device(batch, device)
            for transform in transforms:
                batch = transform(batch)
            flow: np.ndarray = settings["process_outputs"](model(batch), batch)
        return flow

    return compute, f"on {device.type}, stage {stage} ({source})"


def network_estimator(args: argparse.Namespace) -> tuple[PairEstimator, dict[str, Any]]:
    """The config's network for any images, and the files that it reads."""
    config = common.load_config(args)
    settings = read_section(config, "infer_cfg")
    compute, text = network(args, config, settings)

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return compute(pair_batch(first, second, "frame"))

    return PairEstimator(estimate, text), reads(config, ckpt=args.ckpt)


def by_program(
    args: argparse.Namespace, batch: dict[str, Any], pair: np.ndarray
) -> tuple[np.ndarray, float, str]:
    """Flow (H, W, 2) by a compiled program, its seconds, and what computed it."""
    order = batch.get("color_space", ["rgb"])[0]
    if pair.dtype != np.uint8 or order not in ("rgb", "bgr"):
        raise InputError(
            f"infer_cfg.process_inputs gives {pair.dtype} images in {order}; expected uint8 in "
            "rgb or bgr, from which the board's input is made"
        )
    program = ProgramEstimator(args.model, args.threads, order.upper())
    first, second = (np.ascontiguousarray(pair[..., i : i + 3]) for i in (0, 3))
    started = time.perf_counter()
    with warnings_told():
        flow = program(first, second)
    return flow, time.perf_counter() - started, f"by {program.describe(pair.shape[:2])}"


def output_files(viz: Any, folder: Path, name: str, inputs: Mapping[str, str]) -> list[Path]:
    """The files that will be written to ``folder``.

    A ``viz_func`` names them by a method ``files``, as FlowViz does. Without that method, they are
    all files that begin with the name of the first image.
    """
    flo = folder / f"{name}.flo"
    if hasattr(viz, "files"):
        return [flo, *viz.files(name, folder, "gt" in inputs).values()]
    found = folder.glob(f"{glob.escape(name)}*")
    return [flo, *(path for path in found if path.is_file() and path != flo)]


def errors(results: Mapping[str, float]) -> str:
    """The main metrics of one pair, as a line."""
    return (
        f"EPE {results['EPE']:.2f} px (zero flow: {results['zero-flow EPE']:.2f} px), "
        f"3px {results['3px']:.2f} %, Fl-all {results['Fl-all']:.2f} %"
    )
