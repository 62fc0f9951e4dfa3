"""Teach a network's finest level the features that another one sees in images of twice the size.

``python -m benchmarks.fine_features --config FILE --ckpt FILE --teacher-config FILE --teacher FILE
--output FILE [--minutes M]``

The teacher's features of level l in an enlarged image have as many pixels as those of level l - 1
in the image itself, and its decoder reads flow of twice the precision from them. The network, which
``hat widen`` has given a finer level, learns to see them without the enlargement; its other layers
stay as they are. Then it is trained as a whole (``train.py --stage float --ckpt``). Both networks
have a MatchPyramid, and the finest level of the one is a level below that of the other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
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
from hat.models.backbones import MatchPyramid
from hat.registry import build_from_registry

LEARNING_RATE = 2e-3
BATCH = 4
REPORTS = 10


def images(config: Config) -> Iterator[Tensor]:
    """Prepared images (2 BATCH, 3, H, W) of the config's training pairs, for ever."""
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


def teach(
    pupil: MatchPyramid, teacher: MatchPyramid, stream: Iterator[Tensor], minutes: float
) -> None:
    """Train the match features of the pupil's finest level for a time.

    Prints the squared distance to the teacher's over that of their mean: 1 is a pupil that has
    learnt nothing.
    """
    match = cast(nn.Module, pupil.matches[0])
    stem = pupil.levels[: pupil.flow_pred_lvl]
    optimizer = torch.optim.AdamW(match.parameters(), LEARNING_RATE, weight_decay=1e-4)
    started, told, distance, scale, seen = time.monotonic(), 0, 0.0, 0.0, 0
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        image = next(stream)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, seen / 1000) * (1 - share)
        with torch.no_grad(), torch.autocast(image.device.type, torch.bfloat16):
            x = image.contiguous(memory_format=torch.channels_last)
            wanted = teacher(functional.interpolate(x, scale_factor=2, mode="bicubic"))[0].float()
            for level in stem:
                x = level(x)
        with torch.autocast(image.device.type, torch.bfloat16):
            found = match(x)
        loss = functional.mse_loss(found.float(), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(image)
        distance = 0.95 * distance + 0.05 * loss.item()
        scale = 0.95 * scale + 0.05 * wanted.var(dim=(0, 2, 3)).mean().item()
        if share * REPORTS >= told + 1:
            told += 1
            print(f"{seen:7} images  {distance / scale:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    common.add_config_arguments(parser, stages=None)  # of the network with the finer level
    parser.add_argument("--ckpt", required=True, type=Path, help="what hat widen gave it")
    parser.add_argument("--teacher-config", required=True)
    parser.add_argument("--teacher", required=True, type=Path, help="its float checkpoint")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    args = parser.parse_args()
    config = common.load_config(args)
    model = trained_model(config, "infer_cfg", "float", args.ckpt)[0]
    other = trained_model(Config.fromfile(args.teacher_config), "infer_cfg", "float", args.teacher)[
        0
    ]
    pupil, teacher = (cast(MatchPyramid, m.backbone) for m in (model, other))
    if pupil.flow_pred_lvl != teacher.flow_pred_lvl - 1:
        parser.error(
            f"the finest levels are {pupil.flow_pred_lvl} and {teacher.flow_pred_lvl}; expected "
            "that of --config to be one less than that of --teacher-config"
        )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    pupil.matches[0].train().requires_grad_(True)
    teach(pupil, teacher, images(config), args.minutes)
    content = load_checkpoint(args.ckpt)
    save_checkpoint(args.output, {**content, "state_dict": model.state_dict()})
    print(f"Weights: {args.output}")


if __name__ == "__main__":
    main()
