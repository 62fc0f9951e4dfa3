"""Export a trained model to ONNX and check it in ONNX Runtime.

Writes {stage}.onnx with free batch, height and width:

  input  img   float32 (batch, 6, height, width): image 1 and 2 in YUV444, (value - 128) / 128
  output flow  float32 (batch, 2, ceil(height/4), ceil(width/4)), px of the full-resolution image

The file is then run on generated image pairs of several sizes and compared with the model.
Exit code 1 if a value differs by more than --tolerance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hat.cli import common
from hat.cli.sections import build_model, read_section, trained_model
from hat.errors import InputError
from hat.export import check_onnx, export_onnx
from hat.export.onnx_export import DEFAULT_OPSET
from hat.visualize.flow_viz import make_folder

TOLERANCE = 0.001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stage="float")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--ckpt", help="checkpoint (default: the stage's best in ckpt_dir)")
    weights.add_argument(
        "--random-weights",
        action="store_true",
        help="export an untrained network, to try a runtime before training",
    )
    parser.add_argument("--output", help="the file (default: {onnx_cfg.out_dir}/{stage}.onnx)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="PX",
        help="largest difference between ONNX Runtime and torch (default: %(default)s px)",
    )


def run(args: argparse.Namespace) -> int:
    if not args.tolerance > 0:
        raise InputError(f"--tolerance {args.tolerance}: expected a difference above 0 px")
    config = common.load_config(args)
    settings = read_section(config, "onnx_cfg", ("model", "out_dir"), ("opset_version",))
    path = Path(args.output or Path(settings["out_dir"]) / f"{args.stage}.onnx")
    if args.random_weights:
        model, source = build_model(config, "onnx_cfg"), "random"
    else:
        model, ckpt = trained_model(config, "onnx_cfg", args.stage, args.ckpt)
        source = ckpt.name
    make_folder(path.parent)
    exported = export_onnx(
        model,
        path,
        settings.get("opset_version", DEFAULT_OPSET),
        {
            "task": str(config.get("task_name", "")),
            "stage": args.stage,
            "weights": source,
            "img": "image 1 and 2 in YUV444 (BT.601 full range), (value - 128) / 128",
            "flow": "(u, v) from image 1 to image 2, pixels of the full-resolution image",
        },
    )
    size = path.stat().st_size / 1e6
    print(f"Wrote {path}: {size:.1f} MB, {len(exported.graph.node)} nodes, weights: {source}")
    print("\nONNX Runtime against torch, on generated images:\n")
    rows = []
    worst = 0.0
    for result in check_onnx(path, model, np.random.default_rng(0)):
        worst = max(worst, result.difference)
        rows.append(
            (
                result.batch,
                f"{result.height}x{result.width}",
                f"{result.difference:.1e}",
                f"{result.largest_flow:.2f}",
                "ok" if result.difference <= args.tolerance else "DIFFERS",
            )
        )
    common.print_table(rows, ("batch", "size", "difference, px", "largest flow, px", ""))
    good = worst <= args.tolerance
    verdict = "within" if good else "above"
    print(f"\nLargest difference {worst:.1e} px, {verdict} the tolerance of {args.tolerance} px")
    return 0 if good else 1
