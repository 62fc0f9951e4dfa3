"""Export a trained model to ONNX and check it in ONNX Runtime.

Writes {stage}.onnx. Input img is an image pair in YUV444, flow is in px of the full-resolution
image, at the size of the network's finest level (1/4, with pwcnet_small 1/2):

  float             float operators; any batch, height and width
  calibration, qat  QuantizeLinear/DequantizeLinear around float operators; one size
  int_infer         integer operators; img int8 = uint8 - 128, flow int32 of steps (named in the
                    file's metadata); one size

The file is then run on image pairs and compared with the model: float on generated pairs of several
sizes, the others on pairs of the config's validation set (generated ones where that is missing).
A network of your own (NetworkTask) keeps the names and sizes of deploy_inputs and the names of its
outputs; differences are shares of the largest output then.

Exit code 1: a float value differs by more than --tolerance, an integer of int_infer differs, or the
mean difference of a QuantizeLinear file is above --mean-tolerance.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hat.cli import common, onnx_of_network
from hat.cli.reads import data_paths, reads
from hat.cli.sections import build_model, read_section, trained_model, validation_loader
from hat.config import Config
from hat.data.files import make_folder
from hat.engine.data_loading import batches
from hat.errors import InputError
from hat.export import check_onnx, export_onnx
from hat.export.onnx_check import image_pairs
from hat.export.onnx_export import DEFAULT_OPSET
from hat.export.program_export import check_program, export_program
from hat.file_kinds import ONNX
from hat.models.tasks import NetworkTask
from hat.outputs import check_outputs
from hat.paths import find_input
from hat.registry import build_from_registry, resolve

TOLERANCE = 0.001
MEAN_TOLERANCE = 0.25
SIZE = (384, 512)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stage="float")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--ckpt", help="checkpoint (default: the stage's best in ckpt_dir)")
    weights.add_argument(
        "--random-weights",
        action="store_true",
        help="export an untrained float network, to try a runtime before training",
    )
    parser.add_argument("--output", help="the file (default: {onnx_cfg.out_dir}/{stage}.onnx)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="image size of the quantised stages' files (default: 384 512; of a network of your "
        "own, that of deploy_inputs)",
    )
    parser.add_argument(
        "--num-pairs",
        type=int,
        default=4,
        help="pairs, or other samples, to check those on (default: %(default)s)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="PX",
        help=f"float: largest difference between ONNX Runtime and torch (default: {TOLERANCE} px; "
        "of a network of your own a share of its largest output)",
    )
    parser.add_argument(
        "--mean-tolerance",
        type=float,
        metavar="PX",
        help=f"qat: largest mean difference of a pair (default: {MEAN_TOLERANCE} px; of a network "
        f"of your own {onnx_of_network.MEAN_TOLERANCE} of its largest output)",
    )


def run(args: argparse.Namespace) -> int:
    for name in ("tolerance", "mean_tolerance", "num_pairs"):
        if getattr(args, name) is not None and not getattr(args, name) > 0:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} {getattr(args, name)}: expected a number above 0")
    config = common.load_config(args)
    settings = read_section(config, "onnx_cfg")
    path = Path(args.output or Path(settings["out_dir"]) / f"{args.stage}.onnx")
    if args.random_weights and args.stage != "float":
        raise InputError(f"--random-weights: stage {args.stage} needs a checkpoint's scales")
    check_outputs([(path, ONNX)], reads(config, ckpt=args.ckpt), "--output")
    if args.random_weights:
        model, source = build_model(config, "onnx_cfg"), "random"
    else:
        model, ckpt = trained_model(config, "onnx_cfg", args.stage, args.ckpt)
        source = ckpt.name
    make_folder(path.parent)
    metadata = {
        "task": str(config.get("task_name", "")),
        "stage": args.stage,
        "weights": source,
        "img": "image 1 and 2 in YUV444 (BT.601 full range), (value - 128) / 128",
        "flow": "(u, v) from image 1 to image 2, pixels of the full-resolution image",
    }
    opset = settings.get("opset_version", DEFAULT_OPSET)
    if issubclass(type_of_model(settings), NetworkTask):
        if isinstance(model, NetworkTask) and args.stage == "float":
            return onnx_of_network.export_float(model, path, opset, metadata, args.tolerance)
        return onnx_of_network.export_quantised(config, args, model, path, metadata)
    args.size = args.size or SIZE
    args.tolerance = TOLERANCE if args.tolerance is None else args.tolerance
    args.mean_tolerance = MEAN_TOLERANCE if args.mean_tolerance is None else args.mean_tolerance
    if args.stage != "float":
        return export_quantised(config, args, model, path, metadata)
    exported = export_onnx(model, path, opset, metadata)
    report(path, len(exported.graph.node), source)
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


def type_of_model(settings: Mapping[str, Any]) -> type:
    """The class of the config's model: of int_infer, the checkpoint says nothing of it."""
    recipe = resolve(settings["model"], "onnx_cfg.model")
    target = getattr(recipe, "target", None)
    return target if isinstance(target, type) else type(recipe)


def export_quantised(
    config: Config, args: argparse.Namespace, model: Any, path: Path, metadata: dict[str, str]
) -> int:
    """Write and check a quantised stage; 0 if the file does what the model does."""
    integer = args.stage == "int_infer"
    name = str(config.get("task_name", "model"))
    if integer:
        info = model.graph.tensors[model.output_name]
        metadata["img"] = "image 1 and 2 in YUV444 (BT.601 full range), value - 128"
        metadata["flow"] += "; steps of " + ", ".join(map(str, info.scales))
    pairs, origin = check_pairs(config, tuple(args.size), args.num_pairs)
    graph, nodes = export_program(
        model, path, tuple(args.size), name=name, integer=integer, metadata=metadata
    )
    report(path, nodes, metadata["weights"])
    print(f"\nONNX Runtime against the {args.stage} model, on {origin}:\n")
    results = check_program(path, graph, model, pairs, integer=integer)
    rows = [
        (
            r.name,
            r.values,
            r.differing,
            r.reference_differing,
            f"{r.largest:.4f}",
            f"{r.mean:.5f}",
            f"{r.largest_flow:.2f}",
        )
        for r in results
    ]
    header = ("pair", "values", "differ", "reference differs", "largest, px", "mean, px", "|flow|")
    common.print_table(rows, header)
    reference = sum(r.reference_differing for r in results)
    differing = sum(r.differing for r in results)
    if integer:
        print(f"\nDiffering integers: ONNX Runtime {differing}, reference executor {reference}")
        return 0 if differing == reference == 0 else 1
    mean = max(r.mean for r in results)
    good = mean <= args.mean_tolerance and reference == 0
    verdict = "within" if good else "above"
    print(
        f"\nLargest mean difference {mean:.5f} px, {verdict} the tolerance of "
        f"{args.mean_tolerance} px; QuantizeLinear rounds halves to even, the network upwards. "
        f"Differing integers of the reference executor: {reference}"
    )
    return 0 if good else 1


def report(path: Path, nodes: int, source: str) -> None:
    size = path.stat().st_size / 1e6
    print(f"Wrote {path}: {size:.1f} MB, {nodes} nodes, weights: {source}")


def check_pairs(
    config: Config, size: tuple[int, int], count: int
) -> tuple[Sequence[tuple[str, np.ndarray]], str]:
    """Image pairs of ``size`` as the network takes them, and where they come from."""
    section = config.get("val_data_loader") or {}
    dataset = section.get("dataset")
    paths = [str(path) for path in data_paths(dataset)]
    if dataset is None or not all(find_input(path).exists() for path in paths):
        rng = np.random.default_rng(0)
        pairs = [(f"generated {i}", image_pairs(1, *size, rng)) for i in range(count)]
        return pairs, "generated pairs (the config's validation set is not there)"
    processor = build_from_registry(config.section("val_batch_processor"), "val_batch_processor")
    pairs = []
    for batch in islice(batches(validation_loader(config, batch_size=1)), count):
        image = batch["img"][0].permute(1, 2, 0).numpy()
        if image.shape[:2] != size:
            halves = [cv2.resize(image[..., i : i + 3], size[::-1]) for i in (0, 3)]
            resized = torch.from_numpy(np.concatenate(halves, axis=2))
            batch["img"] = resized.permute(2, 0, 1)[None]
        prepared = processor.prepare(batch, torch.device("cpu"))
        pairs.append((str(batch["img_name"][0]), prepared["img"].numpy()))
    origin = ", ".join(paths) or f"the config's {dataset.get('type', 'validation set')}"
    return pairs, f"{origin}, {size[0]}x{size[1]}"
