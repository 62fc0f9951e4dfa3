"""Teaches new levels the features that a trained network computes from images of another size.

``python -m benchmarks.teach_levels --config FILE --ckpt FILE --teacher-config FILE --teacher FILE
--output FILE [--minutes M]``

The teacher is the trained network, the pupil the same network with finer or coarser levels, which
``hat widen`` added. In an image of twice the size, the teacher's features of level l have as many
pixels as features of level l - 1 in the image itself; in an image of half the size, as many as
those of level l + 1. The teacher's decoder can read the flow from these features. The pupil's new
levels learn to compute them from the original image; its other layers do not change. Afterwards,
train the pupil as a whole (``train.py --stage float --ckpt``). Both networks must have a
MatchPyramid.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hat.cli import common
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.collates import collate_2d
from hat.engine.checkpoint import load_checkpoint, save_checkpoint
from hat.errors import InputError
from hat.models.backbones import MatchPyramid
from hat.outputs import check_outputs
from hat.registry import build_from_registry

LEARNING_RATE = 2e-3
BATCH = 4
REPORTS = 10


def images(config: Config) -> Iterator[Tensor]:
    """An endless stream of prepared images (2 BATCH, 3, H, W) of the config's training pairs."""
    dataset = build_from_registry(config.drawn_before, "drawn_before")
    prepare = [build_from_registry(t, "image_transforms") for t in config.image_transforms]
    for epoch in count():
        torch.manual_seed(epoch)
        loader: Any = torch.utils.data.DataLoader(
            dataset, BATCH, shuffle=True, num_workers=1, collate_fn=collate_2d, drop_last=True
        )
        for batch in loader:
            for transform in prepare:
                batch = transform(batch)
            yield torch.cat([batch["img"][:, :3], batch["img"][:, 3:]])


def lessons(pupil: MatchPyramid, teacher: MatchPyramid) -> dict[int, tuple[float, int]]:
    """Of each level that only the pupil has: the teacher's size of images, and its level."""
    found = {}
    for level in range(pupil.flow_pred_lvl, pupil.pyr_lvls + 1):
        known = min(max(level, teacher.flow_pred_lvl), teacher.pyr_lvls)
        if known != level:
            found[level] = 2.0 ** (known - level), known
    return found


def new_layers(pupil: MatchPyramid, teacher: MatchPyramid) -> nn.ModuleList:
    """The layers of the pupil that only its new levels have."""
    matches = [pupil.matches[level - pupil.flow_pred_lvl] for level in lessons(pupil, teacher)]
    return nn.ModuleList([*matches, *pupil.levels[teacher.pyr_lvls :]])


def teach(
    pupil: MatchPyramid, teacher: MatchPyramid, stream: Iterator[Tensor], minutes: float
) -> None:
    """Train the layers of the pupil's new levels for some minutes.

    Prints for each level the squared distance to the teacher's features divided by their variance.
    A level at 1 has learned nothing.
    """
    learning = new_layers(pupil, teacher).train().requires_grad_(True)
    wanted_levels = lessons(pupil, teacher)
    optimizer = torch.optim.AdamW(learning.parameters(), LEARNING_RATE, weight_decay=1e-4)
    started, told, seen = time.monotonic(), 0, 0
    distances = dict.fromkeys(wanted_levels, 1.0)
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        image = next(stream).contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, seen / 1000) * (1 - share)
        with torch.autocast(image.device.type, torch.bfloat16):
            found = pupil(image)
            loss = torch.zeros(())
            for level, (size, known) in wanted_levels.items():
                with torch.no_grad():
                    mode = "bicubic" if size > 1 else "area"
                    scaled = functional.interpolate(image, scale_factor=size, mode=mode)
                    wanted = teacher(scaled)[known - teacher.flow_pred_lvl].float()
                mine = found[level - pupil.flow_pred_lvl].float()
                distance = functional.mse_loss(mine, wanted) / wanted.var(dim=(0, 2, 3)).mean()
                distances[level] = 0.95 * distances[level] + 0.05 * distance.item()
                loss = loss + distance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(image)
        if share * REPORTS >= told + 1:
            told += 1
            text = "  ".join(f"1/{2**level}: {value:.3f}" for level, value in distances.items())
            print(f"{seen:7} images  {text}", flush=True)
    learning.eval()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    common.add_config_arguments(
        parser, stages=None
    )  # the config of the network with the new levels
    parser.add_argument("--ckpt", required=True, type=Path, help="what hat widen gave it")
    parser.add_argument("--teacher-config", required=True)
    parser.add_argument("--teacher", required=True, type=Path, help="its float checkpoint")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    args = parser.parse_args(words)
    try:
        run(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace) -> None:
    """Carry out the command line; writes the output at the end."""
    config, other = common.load_config(args), Config.fromfile(args.teacher_config)
    read = {"config": config.path, "--ckpt": args.ckpt, "--teacher": args.teacher}
    check_outputs([args.output], read, "--output")
    model = trained_model(config, "infer_cfg", "float", args.ckpt)[0].requires_grad_(False)
    wise = trained_model(other, "infer_cfg", "float", args.teacher)[0].requires_grad_(False)
    pupil, teacher = (cast(MatchPyramid, m.backbone) for m in (model, wise))
    if not lessons(pupil, teacher):
        raise InputError("--config has no level that --teacher-config lacks; nothing to teach")
    teach(pupil, teacher, images(config), args.minutes)
    content = load_checkpoint(args.ckpt)
    save_checkpoint(args.output, {**content, "state_dict": model.state_dict()})
    print(f"Weights: {args.output}")


if __name__ == "__main__":
    sys.exit(main())
