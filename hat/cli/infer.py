"""Estimate the flow between two images and draw it.

The integer model does it (stage int_infer) unless --stage names another stage, --ckpt gives another
stage's file, or --model a compiled program. A program has one size: smaller images are padded by
repeating their border, larger ones are scaled down to fit; the flow has the images' size anyway.

Writes to --save-path, under the name of the first image:

  NAME.flo          flow at the images' size, px (Middlebury format)
  NAME_flow.png     the same in the colours of the flow wheel
  NAME_figure.png   images, flow and, with ground truth, error side by side
  NAME_error.png    with ground truth: error map in KITTI's colours

Images may have any format and any size, the same for both. Ground truth is .flo, KITTI's 16-bit
.png or .pfm:

  --model-inputs img1:A.png,img2:B.png,gt:A.flo
"""

from __future__ import annotations

import argparse
import glob
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hat.cli import common
from hat.cli.reads import reads
from hat.cli.sections import read_section, stage_of_file, trained_model
from hat.config import Config
from hat.data.files import staging_folder
from hat.data.flow_io import read_flow, write_flo
from hat.deploy.board_program import BoardProgram, program_file
from hat.engine import distributed
from hat.engine.checkpoint import STAGES
from hat.engine.processors import to_device
from hat.errors import InputError
from hat.metrics import FlowMetrics
from hat.outputs import check_outputs
from hat.paths import expand_home, find_input
from hat.registry import build_from_registry

INPUT_KEYS = ("img1", "img2", "gt")
REQUIRED = ("model", "process_inputs", "transforms", "process_outputs", "viz_func")
OPTIONAL = ("infer_inputs",)
DEFAULT_STAGE = "int_infer"
OPTION = "--save-path"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument(
        "-s",
        "--stage",
        choices=STAGES,
        help=f"stage of the model (default: that of --ckpt, or {DEFAULT_STAGE})",
    )
    parser.add_argument(
        "--model-inputs",
        metavar="img1:PATH,img2:PATH[,gt:PATH]",
        help="the images and, if known, their true flow (default: infer_cfg.infer_inputs)",
    )
    parser.add_argument("--save-path", required=True, metavar="DIR", help="folder of the results")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--ckpt", help="checkpoint (default: the stage's best in ckpt_dir)")
    source.add_argument("--model", metavar="FILE.hbm", help="compiled program (compile_perf.py)")


def run(args: argparse.Namespace) -> int:
    if args.model and args.stage:
        raise InputError("--stage with --model: a program is int_infer's; leave --stage out")
    config = common.load_config(args)
    settings = read_section(config, "infer_cfg", REQUIRED, OPTIONAL)
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
    batch = settings["process_inputs"](inputs)
    height, width = batch["img"].shape[-2:]
    truth = read_truth(inputs["gt"], (height, width)) if "gt" in inputs else None
    pair = batch["img"][0].permute(1, 2, 0).numpy()  # before the transforms, as the figure shows it

    estimate = by_program if args.model else by_network
    flow, seconds, source = estimate(args, config, settings, batch)

    gt_flow, gt_valid = truth if truth else (None, None)
    with staging_folder(folder) as staging:
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
    pictures = {kind: folder / path.relative_to(staging) for kind, path in drawn.items()}
    files = {"flo": folder / f"{name}.flo", **pictures}
    speed = np.hypot(flow[..., 0], flow[..., 1])
    print(f"{width}x{height} pixels, {seconds:.3f} s {source}")
    print(f"Flow: mean {speed.mean():.2f} px, largest {speed.max():.2f} px")
    if truth:
        print(errors(flow, *truth))
    for kind, path in files.items():
        print(f"{kind:7}{path}")
    return 0


def by_network(
    args: argparse.Namespace, config: Config, settings: Mapping[str, Any], batch: dict[str, Any]
) -> tuple[np.ndarray, float, str]:
    """Flow (H, W, 2) of a network in torch, its seconds, and what computed it."""
    device = distributed.default_device()
    stage = stage_of_file(args.ckpt, args.stage) if args.ckpt else args.stage or DEFAULT_STAGE
    model, source = trained_model(config, "infer_cfg", stage, args.ckpt)
    model = model.to(device)
    transforms = build_from_registry(settings["transforms"], "infer_cfg.transforms")
    started = time.perf_counter()
    with torch.inference_mode():
        batch = to_device(batch, device)
        for transform in transforms:
            batch = transform(batch)
        flow = settings["process_outputs"](model(batch), batch)
    return flow, time.perf_counter() - started, f"on {device.type}, stage {stage} ({source})"


def by_program(
    args: argparse.Namespace, config: Config, settings: Mapping[str, Any], batch: dict[str, Any]
) -> tuple[np.ndarray, float, str]:
    """The same of a compiled program, on the board's input."""
    program = BoardProgram(program_file(args.model))
    order = batch.get("color_space", ["rgb"])[0]
    image = batch["img"][0].permute(1, 2, 0).numpy()
    if image.dtype != np.uint8 or order not in ("rgb", "bgr"):
        raise InputError(
            f"infer_cfg.process_inputs gives {image.dtype} images in {order}; expected uint8 in "
            "rgb or bgr, from which the board's input is made"
        )
    size = image.shape[:2]
    inner = fitting_size(size, program.size)
    for warning in program.warnings(size, inner):
        print(f"warning: {warning}", file=sys.stderr)
    started = time.perf_counter()
    if inner != size:
        halves = [image[..., i : i + 3] for i in (0, 3)]
        halves = [cv2.resize(x, inner[::-1], interpolation=cv2.INTER_AREA) for x in halves]
        image = np.concatenate(halves, axis=2)
    integers = program.run(program.prepare(image, bgr=order == "bgr"))
    outputs = torch.from_numpy(program.flow(integers, inner))[None]
    small = {**batch, "img": torch.from_numpy(image).permute(2, 0, 1)[None]}
    flow = settings["process_outputs"](outputs, small)
    if inner != size:
        ratio = np.array([size[1] / inner[1], size[0] / inner[0]], np.float32)
        flow = cv2.resize(flow, size[::-1], interpolation=cv2.INTER_LINEAR) * ratio
    seconds = time.perf_counter() - started
    text = f"by {args.model}, a program of {program.size[1]}x{program.size[0]} pixels"
    if inner != size:
        text += f"; images scaled down to {inner[1]}x{inner[0]}"
    if inner != program.size:
        text += "; border repeated up to the program's size, flow cropped"
    return flow, seconds, text


def fitting_size(size: tuple[int, int], largest: tuple[int, int]) -> tuple[int, int]:
    """``size`` (H, W), scaled down in both directions alike if it exceeds ``largest``."""
    scale = min(1.0, *(most / side for most, side in zip(largest, size, strict=True)))
    height, width = (
        min(most, max(1, round(side * scale))) for most, side in zip(largest, size, strict=True)
    )
    return height, width


def parse_model_inputs(text: str) -> dict[str, str]:
    """``"img1:a.png,img2:b.png"`` as a dict.

    Only ``img1:``, ``img2:`` and ``gt:`` at the beginning or after a comma separate entries, so
    that paths may contain colons and commas themselves.

    Raises:
        InputError: another beginning, a key twice, an empty path, or an image missing.
    """
    keys = "|".join(INPUT_KEYS)
    form = "expected img1:PATH,img2:PATH or img1:PATH,img2:PATH,gt:PATH"
    words = re.split(rf"(?:^|,)\s*({keys}):", text.strip())
    if words[0]:
        raise InputError(f"--model-inputs {text!r}: found {words[0]!r} before a key; {form}")
    inputs: dict[str, str] = {}
    for key, path in zip(words[1::2], words[2::2], strict=True):
        if key in inputs:
            raise InputError(f"--model-inputs {text!r}: {key} is given twice; {form}")
        if not path.strip():
            raise InputError(f"--model-inputs {text!r}: {key} has no path; {form}")
        inputs[key] = expand_home(path.strip())
    for key in ("img1", "img2"):
        if key not in inputs:
            raise InputError(f"--model-inputs {text!r}: {key} is missing; {form}")
    return inputs


def output_files(viz: Any, folder: Path, name: str, inputs: Mapping[str, str]) -> list[Path]:
    """What will be written to ``folder``.

    Of a ``viz_func`` that does not say that by a method ``files``, as FlowViz has it, any file
    that begins with the name of the first image.
    """
    flo = folder / f"{name}.flo"
    if hasattr(viz, "files"):
        return [flo, *viz.files(name, folder, "gt" in inputs).values()]
    return [flo, *(path for path in folder.glob(f"{glob.escape(name)}*") if path.is_file())]


def read_truth(path: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """True flow and its mask; InputError unless it has the images' size (H, W)."""
    flow, valid = read_flow(path)
    if flow.shape[:2] != size:
        raise InputError(
            f"{path}: true flow of {flow.shape[1]}x{flow.shape[0]} pixels for images of "
            f"{size[1]}x{size[0]}"
        )
    return flow, valid


def errors(flow: np.ndarray, gt_flow: np.ndarray, gt_valid: np.ndarray) -> str:
    """The main metrics of one pair, as a line."""
    metric = FlowMetrics()
    metric.update(
        torch.from_numpy(gt_flow).permute(2, 0, 1)[None],
        torch.from_numpy(flow).permute(2, 0, 1)[None],
        torch.from_numpy(gt_valid)[None, None],
    )
    results = metric.results()
    return (
        f"EPE {results['EPE']:.2f} px (zero flow: {results['zero-flow EPE']:.2f} px), "
        f"3px {results['3px']:.2f} %, Fl-all {results['Fl-all']:.2f} %"
    )
