"""What a network has learnt since, added to a wider network that came from it.

    python -m benchmarks.carry_over --config WIDER --ckpt WIDER.pth.tar --from-config NARROWER
        --before OLD.pth.tar --after NEW.pth.tar --output FILE.pth.tar [--share 0.5]

A wider network begins with the weights of a narrower one (`hat widen`). If the narrower one is
trained further, the difference of its weights is added to the layers of the wider one that continue
its layers (Ilharco et al., "Editing models with task arithmetic", ICLR 2023).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from hat.cli.sections import build_model, trained_model
from hat.config import Config
from hat.engine.checkpoint import save_weights
from hat.errors import InputError
from hat.models.widen import widen_weights
from hat.outputs import check_outputs


def carried_over(
    wide: dict[str, torch.Tensor],
    before: dict[str, torch.Tensor],
    after: dict[str, torch.Tensor],
    share: float,
) -> dict[str, torch.Tensor]:
    """``wide`` plus ``share`` times the difference of the other two; counters stay.

    Args:
        wide, before, after: state dicts with the same names and shapes.
    """
    return {
        name: value + share * (after[name] - before[name]) if value.is_floating_point() else value
        for name, value in wide.items()
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True, help="of the wider network")
    parser.add_argument("--ckpt", required=True, help="its float checkpoint")
    parser.add_argument("--from-config", required=True, help="of the narrower network")
    parser.add_argument("--before", required=True, help="its checkpoint that the wider one knows")
    parser.add_argument("--after", required=True, help="its checkpoint of today")
    parser.add_argument("--share", type=float, default=0.5, help="of the difference")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(words)
    if not 0 < args.share <= 1:
        parser.error(f"--share: found {args.share}, expected more than 0 and at most 1")
    inputs = {name: getattr(args, name) for name in ("config", "ckpt", "before", "after")}
    try:
        check_outputs([args.output], inputs, "--output")
        config, narrow = Config.fromfile(args.config), Config.fromfile(args.from_config)
        wide, _ = trained_model(config, "infer_cfg", "float", args.ckpt)
        begun = build_model(config, "infer_cfg")
        before, after = (
            widen_weights(trained_model(narrow, "infer_cfg", "float", ckpt)[0], begun)
            for ckpt in (args.before, args.after)
        )
        weights = carried_over(wide.state_dict(), before, after, args.share)
        save_weights(args.output, weights)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
