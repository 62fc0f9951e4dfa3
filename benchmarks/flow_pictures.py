"""A sheet of pairs on which a network does well, and of pairs on which it does badly.

``python -m benchmarks.flow_pictures --textures BANK --output SHEET.png [--config FILE] [--ckpt-dir
DIR]``

Each row is a pair: image 1, the true flow, the flow of the integer network, that of OpenCV's DIS
medium, and the network's error. The pairs are held-out generated pairs of all distributions. Half
of the rows have the smallest, the other half the largest ratios of the network's end-point error to
that of zero flow. ``--real FOLDER`` draws all real samples in the folder instead.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.flow_quality import CHECKPOINTS, CONFIG, REFERENCE, network_method, opencv_methods
from benchmarks.flow_sets import Pair, generated_set, real_sets
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.datasets import TextureBank
from hat.data.synthesis.motions import MOTIONS
from hat.engine.checkpoint import checkpoint_path
from hat.metrics import full_resolution
from hat.registry import build_from_registry
from hat.visualize.colours import error_colours, flow_colours
from hat.visualize.scale import colour_scale

WIDTH = 2.6  # inches of a picture
LEAST_MOTION = 1.0  # px of mean speed; slower pairs show little


@dataclass(frozen=True)
class Case:
    """A pair with the flows of the network and of DIS, (H, W, 2), px."""

    name: str
    pair: Pair
    network: np.ndarray
    dis: np.ndarray

    def error(self, flow: np.ndarray) -> float:
        """Mean end-point error, px."""
        return float(np.linalg.norm(flow - self.pair[2], axis=2).mean())

    @property
    def unexplained(self) -> float:
        return self.error(self.network) / self.error(np.zeros_like(self.network))


def sheet(cases: list[Case]) -> Figure:
    """A row for each case."""
    figure = Figure(figsize=(5 * WIDTH, 0.82 * WIDTH * len(cases)), dpi=75, layout="constrained")
    grid = figure.subplots(len(cases), 5, squeeze=False)
    for row, case in zip(grid, cases, strict=True):
        first, _, truth, _ = case.pair
        scale = colour_scale((truth, None))
        error = np.linalg.norm(case.network - truth, axis=2)
        pictures = {
            case.name: first,
            f"true flow, mean {np.linalg.norm(truth, axis=2).mean():.1f} px": flow_colours(
                truth, scale
            ),
            f"network: {case.error(case.network):.2f} px": flow_colours(case.network, scale),
            f"{REFERENCE}: {case.error(case.dis):.2f} px": flow_colours(case.dis, scale),
            "error of the network": error_colours(error),
        }
        for axis, (title, picture) in zip(row, pictures.items(), strict=True):
            axis.imshow(picture)
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--ckpt-dir", default=CHECKPOINTS)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--textures", help="a bank of textures, of which pairs are drawn")
    source.add_argument("--real", type=Path, help="folder of the real samples")
    parser.add_argument("--pairs", type=int, default=12, help="drawn per distribution of motions")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)

    config = Config.fromfile(args.config)
    processor = build_from_registry(config.val_batch_processor, "val_batch_processor")
    ckpt = checkpoint_path(args.ckpt_dir, "int_infer")
    network = network_method(trained_model(config, "infer_cfg", "int_infer", ckpt)[0], processor)
    dis = opencv_methods()[REFERENCE]

    def flow_of(method: object, pair: Pair) -> np.ndarray:
        flow = full_resolution(method(pair[0], pair[1]), pair[2].shape[:2])  # type: ignore[operator]
        return flow[0].permute(1, 2, 0).numpy()

    if args.real:
        sets = real_sets(args.real)
    else:
        bank = TextureBank(args.textures)
        sets = {name: list(generated_set(bank, name, args.pairs)) for name in MOTIONS}
    cases = [
        Case(name, pair, flow_of(network, pair), flow_of(dis, pair))
        for name, pairs in sets.items()
        for pair in pairs
    ]
    if not args.real:
        moving = [c for c in cases if c.error(np.zeros_like(c.network)) >= LEAST_MOTION]
        moving.sort(key=lambda case: case.unexplained)
        half = args.rows // 2
        cases = moving[:half] + moving[-half:]
    sheet(cases).savefig(args.output, pil_kwargs={"optimize": True})
    print(args.output)


if __name__ == "__main__":
    main()
