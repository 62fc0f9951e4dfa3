"""Shows whether every level of a network learns: each level's error divided by that of zero flow.

``python -m benchmarks.learning --config FILE [--motions spread] [--objects 0 0] [--steps N] ...``

Trains a config's network from scratch on a stream of pairs that are drawn during training. Prints
the ratios by the number of pairs seen. A level with a ratio of 1 has learned nothing; a smaller
ratio is better. The ratios are measured on pairs of a second stream. ``dead`` is the share of
channels behind ReLUs that are 0 everywhere.
"""

from __future__ import annotations

import argparse
import ast
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from hat.cli.common import print_table
from hat.config import Config
from hat.data.collates import collate_2d
from hat.data.datasets import GeneratedPairs
from hat.data.files import write_json
from hat.data.synthesis.render import TextureSource
from hat.data.synthesis.spectra import spectral_texture
from hat.data.synthesis.texture_bank import TextureBank
from hat.data.synthesis.textures import procedural_texture
from hat.data.transforms import ToTensor
from hat.registry import build_from_registry

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py"


def one_scale(rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
    """Noise of one scale, 4 px, which leaves no contrast at the coarse levels."""
    side = max(side, 32)
    grains = rng.integers(0, 256, (-(-side // 4), -(-side // 4), 3), dtype=np.uint8)
    return cv2.resize(grains, (side, side), interpolation=cv2.INTER_CUBIC)


def spectral(rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
    """Noise with contrast at every scale, falling as 1 / frequency."""
    return spectral_texture(rng, max(side, 32))


TEXTURES: dict[str, TextureSource] = {
    "one-scale": one_scale,
    "spectral": spectral,
    "procedural": procedural_texture,
}


class Stream:
    """A stream of prepared batches without repetition."""

    def __init__(self, arguments: argparse.Namespace, prepare: Any) -> None:
        source = TEXTURES.get(arguments.textures) or TextureBank(arguments.textures)
        self.pairs = GeneratedPairs(
            source,
            arguments.steps * arguments.batch_size,
            [
                {
                    "motions": dict.fromkeys(arguments.motions, 1.0),
                    "size": arguments.size,
                    "objects": arguments.objects,
                    "effects": False,
                }
            ],
            transforms=[ToTensor(to_yuv=False)],
            seed=arguments.seed,
        )
        self.batch_size, self.prepare = arguments.batch_size, prepare

    def batch(self, step: int, epoch: int = 0) -> dict[str, Any]:
        self.pairs.set_epoch(epoch)
        first = step * self.batch_size
        samples = [self.pairs[first + i] for i in range(self.batch_size)]
        return self.prepare(collate_2d(samples), torch.device("cpu"))


def dead_share(model: nn.Module, batch: dict[str, Any]) -> float:
    """The share of the channels behind ReLUs that are 0 at every pixel of ``batch``."""
    dead, channels = 0, 0

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal dead, channels
        dead += int((output.amax(dim=(0, 2, 3)) <= 0).sum())
        channels += output.shape[1]

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.ReLU)]
    with torch.no_grad():
        model(batch, all_levels=True)
    for hook in hooks:
        hook.remove()
    return dead / max(channels, 1)


def ratios(model: nn.Module, batch: dict[str, Any], scale: float) -> list[float]:
    """Each level's end-point error divided by the mean length of the true flow, finest first."""
    with torch.no_grad():
        flows = model(batch, all_levels=True)
    result = []
    for flow, truth in zip(flows, batch["gt_flow_levels"], strict=True):
        error = torch.linalg.vector_norm(flow.float() * scale - truth, dim=1).mean()
        result.append(float(error / torch.linalg.vector_norm(truth, dim=1).mean()))
    return result


def learn(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    torch.manual_seed(arguments.seed)
    opts = dict(opt.split("=", 1) for opt in arguments.opts)
    config = Config.fromfile(arguments.config, {k: literal(v) for k, v in opts.items()})
    model = build_from_registry(config.model, "model")
    processor = build_from_registry(config.batch_processor, "batch_processor")
    if arguments.ckpt:
        content = torch.load(arguments.ckpt, weights_only=True)
        model.load_state_dict(content.get("state_dict", content))
    stream = Stream(arguments, processor.prepare)
    optimizer = torch.optim.AdamW(model.parameters(), arguments.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, arguments.lr, arguments.steps, pct_start=0.1
    )
    rows: list[dict[str, Any]] = []
    recent: list[list[float]] = []
    spent = 0.0
    for step in range(arguments.steps):
        batch = stream.batch(step)
        started = time.perf_counter()
        model.train()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.amp):
            outputs = model.compute_losses(model(batch, all_levels=True), batch)
        sum(outputs["losses"]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        spent += time.perf_counter() - started
        if step % 10 == 9 or step + 10 >= arguments.steps:
            model.eval() if arguments.eval_mode else None
            recent.append(ratios(model, stream.batch(step, 1), model.flow_scale))
            if (step + 1) % arguments.report == 0:
                rows.append(
                    {
                        "samples": (step + 1) * arguments.batch_size,
                        "seconds": round(spent, 1),
                        **{
                            f"1/{4 * 2**i}": round(float(np.mean(values)), 3)
                            for i, values in enumerate(zip(*recent, strict=True))
                        },
                        "dead": round(dead_share(model, batch), 3),
                    }
                )
                recent = []
                print(*rows[-1].values(), flush=True)
    if arguments.save:
        torch.save(model.state_dict(), arguments.save)
    return rows


def literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--motions", nargs="+", default=["spread"])
    parser.add_argument("--textures", default="spectral", help="a name, or a bank's file")
    parser.add_argument("--objects", type=int, nargs=2, default=(0, 0))
    parser.add_argument("--size", type=int, nargs=2, default=(192, 192))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--report", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--eval-mode", action="store_true", help="judge with running statistics")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--ckpt")
    parser.add_argument("--save")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    rows = learn(arguments)
    print_table([tuple(row.values()) for row in rows], tuple(rows[0]))
    if arguments.json:
        write_json(arguments.json, {"arguments": vars(arguments) | {"json": None}, "rows": rows})


if __name__ == "__main__":
    main()
