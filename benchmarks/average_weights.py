"""The average of two checkpoints of one network.

``python -m benchmarks.average_weights A.pth.tar B.pth.tar --output FILE.pth.tar [--share 0.5]``

Training on narrow data improves a network on these data and makes it worse on others. The average
of the weights before and after such training keeps most of the improvement and avoids most of the
loss (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from hat.engine.checkpoint import load_checkpoint, save_weights
from hat.errors import InputError
from hat.outputs import check_outputs


def average(
    first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """The average of ``first`` and ``second``; counters are those of ``first``.

    Args:
        share: the weight of ``second``.

    Raises:
        ValueError: state dicts of different networks.
    """
    shapes = [{name: value.shape for name, value in one.items()} for one in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError("the checkpoints are of different networks: their layers do not agree")
    return {
        name: torch.lerp(value, second[name], share) if value.is_floating_point() else value
        for name, value in first.items()
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second one")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(words)
    if not 0 <= args.share <= 1:
        parser.error(f"--share: found {args.share}, expected 0 to 1")
    try:
        check_outputs([args.output], {"A": args.first, "B": args.second}, "--output")
        contents = [load_checkpoint(path) for path in (args.first, args.second)]
        first, second = (content["state_dict"] for content in contents)
        save_weights(args.output, average(first, second, args.share), contents[0]["stage"])
    except (InputError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
