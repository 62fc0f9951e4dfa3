"""The average of two checkpoints of one network.

``python -m benchmarks.average_weights A.pth.tar B.pth.tar --output FILE.pth.tar [--share 0.5]``

Training on narrow data improves a network on these data and makes it worse on others. The average
of the weights before and after such training keeps most of the improvement and avoids most of the
loss (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). Layers that the narrow
data hardly train can stay as they were before (``--keep``).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from hat.engine.checkpoint import load_checkpoint, save_weights
from hat.errors import InputError
from hat.outputs import check_outputs


def average(
    first: dict[str, torch.Tensor],
    second: dict[str, torch.Tensor],
    share: float,
    keep: re.Pattern[str] | None = None,
) -> dict[str, torch.Tensor]:
    """The average of ``first`` and ``second``; counters are those of ``first``.

    Args:
        share: the weight of ``second``.
        keep: what the names of entries begin with that stay those of ``first``.

    Raises:
        ValueError: state dicts of different networks.
    """
    shapes = [{name: value.shape for name, value in one.items()} for one in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError("the checkpoints are of different networks: their layers do not agree")

    def stays(name: str) -> bool:
        return not first[name].is_floating_point() or (keep is not None and bool(keep.match(name)))

    return {
        name: value if stays(name) else torch.lerp(value, second[name], share)
        for name, value in first.items()
    }


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression that was given as an argument."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second one")
    parser.add_argument(
        "--keep", metavar="PATTERN", type=pattern, help="names of layers that stay as in the first"
    )
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(words)
    if not 0 <= args.share <= 1:
        parser.error(f"--share: found {args.share}, expected 0 to 1")
    try:
        check_outputs([args.output], {"A": args.first, "B": args.second}, "--output")
        contents = [load_checkpoint(path) for path in (args.first, args.second)]
        first, second = (content["state_dict"] for content in contents)
        save_weights(
            args.output, average(first, second, args.share, args.keep), contents[0]["stage"]
        )
    except (InputError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
