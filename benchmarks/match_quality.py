"""Whether the features of a level tell where a pixel went, also for those that the network misses.

    python -m benchmarks.match_quality --config FILE --ckpt FLOAT.pth.tar --textures BANK
        [--motion chairs] [--levels 3 4] [--radius 8] [--windows 1 3 5] [--pairs 16]

For each visible pixel of a level, the displacement of the highest cost within the radius is
compared with the true one. A row has the share of pixels where they agree within one pixel of the
level. Costs are those of one pixel, or sums over windows of pixels. "missed" are pixels at which
the network's flow is wrong by more than 5 px, "found" those wrong by less than 2 px.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.flow_quality import CHECKPOINTS, CONFIG, network_method
from benchmarks.flow_sets import Pair, generated_set
from hat.cli.common import print_table
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.datasets import TextureBank
from hat.data.files import write_json
from hat.data.synthesis.motions import MOTIONS
from hat.metrics.resize import full_resolution
from hat.registry import build_from_registry

WINDOWS = (1, 3, 5)
MISSED, FOUND = 5.0, 2.0  # px
Row = dict[str, Any]


def best_displacements(first: Tensor, second: Tensor, radius: int, window: int) -> Tensor:
    """The displacement of each pixel's highest cost, (N, 2, h, w), whole pixels of the level.

    Args:
        first, second: match features (N, C, h, w).
        radius: of the square of displacements around zero, pixels of the level.
        window: side of the square of pixels over which costs are summed.
    """
    height, width = first.shape[-2:]
    side = 2 * radius + 1
    padded = functional.pad(second, (radius,) * 4)
    costs = torch.stack(
        [
            (first * padded[:, :, dy : dy + height, dx : dx + width]).mean(1)
            for dy in range(side)
            for dx in range(side)
        ],
        dim=1,
    )
    best = functional.avg_pool2d(costs, window, 1, window // 2).argmax(1)
    return torch.stack([best % side - radius, best // side - radius], dim=1)


def agreements(
    features: dict[int, tuple[Tensor, Tensor]],
    pair: Pair,
    error: Tensor,
    radius: int,
    windows: Sequence[int] = WINDOWS,
) -> Iterator[tuple[int, int, str, int, int]]:
    """Level, window, kind of pixels, how many there are, and at how many the best cost is right.

    Args:
        features: match features of both images by level, (1, C, h, w).
        error: of the network's flow, (H, W), px.
    """
    truth = torch.from_numpy(pair.flow).permute(2, 0, 1)[None]
    visible = torch.from_numpy(pair.occlusion == 0)
    kinds = {"missed": (error > MISSED) & visible, "found": (error < FOUND) & visible}
    for level, (first, second) in features.items():
        step = 2**level
        centre = slice(step // 2, None, step)
        wanted = truth[:, :, centre, centre] / step
        inside = wanted.abs().amax(1)[0] <= radius - 0.5
        rows, columns = inside.shape  # the network pads images to multiples
        for window in windows:
            best = best_displacements(first, second, radius, window)[..., :rows, :columns]
            right = ((best - wanted).abs().amax(1) <= 1)[0]
            for name, chosen in kinds.items():
                here = chosen[centre, centre] & inside
                yield level, window, name, int(here.sum()), int((right & here).sum())


def measure(
    model: nn.Module,
    processor: Any,
    pairs: Iterable[Pair],
    levels: Sequence[int],
    radius: int,
    windows: Sequence[int] = WINDOWS,
) -> list[Row]:
    """Rows with the shares of all pairs."""
    head = cast(Any, model).head
    features: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        first, second = given[:2]
        features.update({level: (first[i], second[i]) for level, i in places.items()})

    places = {level: level - head.flow_pred_lvl for level in levels}
    hook = head.register_forward_hook(keep)
    method = network_method(model, processor)
    sums: dict[tuple[int, int, str], list[int]] = {}
    for pair in pairs:
        truth = torch.from_numpy(pair.flow).permute(2, 0, 1)[None]
        found = full_resolution(method(pair.first, pair.second), pair.flow.shape[:2])
        error = (found - truth).norm(dim=1)[0]
        for *key, pixels, right in agreements(features, pair, error, radius, windows):
            total = sums.setdefault(cast(Any, tuple(key)), [0, 0])
            total[0] += pixels
            total[1] += right
    hook.remove()
    return [
        {"level": f"1/{2**level}", "window": window, "pixels are": kind, "pixels": pixels}
        | {"best cost is right": round(right / max(1, pixels), 3)}
        for (level, window, kind), (pixels, right) in sums.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--ckpt", default=f"{CHECKPOINTS}/float-checkpoint-best.pth.tar")
    parser.add_argument("--textures", required=True, help="a bank of textures")
    parser.add_argument("--motion", choices=list(MOTIONS), default="chairs")
    parser.add_argument("--levels", nargs="+", type=int, default=[3, 4], help="3 is 1/8")
    parser.add_argument("--radius", type=int, default=8, help="pixels of a level")
    parser.add_argument(
        "--windows", nargs="+", type=int, default=WINDOWS, help="sides, odd, pixels of a level"
    )
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if even := [side for side in args.windows if side % 2 == 0]:
        parser.error(f"--windows: found {even[0]}, expected odd sides")
    config = Config.fromfile(args.config)
    processor = build_from_registry(config.val_batch_processor, "val_batch_processor")
    model = trained_model(config, "infer_cfg", "float", args.ckpt)[0]
    pairs = generated_set(TextureBank(args.textures), args.motion, args.pairs)
    rows = measure(model, processor, pairs, args.levels, args.radius, args.windows)
    print_table([tuple(row.values()) for row in rows], tuple(rows[0]))
    if args.json:
        write_json(args.json, {"rows": rows})


if __name__ == "__main__":
    main()
