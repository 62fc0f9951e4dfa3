"""Begin the training of a wider network where a narrower one's ended.

Writes a float checkpoint of the config's network that computes nearly what the trained, narrower
network computes: the same layers, of which --from-config has fewer channels or a smaller cost
volume. Train it with train.py --stage float --ckpt FILE.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hat.cli import common
from hat.cli.sections import build_model, trained_model
from hat.config import Config
from hat.engine.checkpoint import save_weights
from hat.file_kinds import CHECKPOINT
from hat.models.widen import widen_weights
from hat.outputs import check_outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument(
        "--from-config",
        required=True,
        metavar="FILE",
        help="config of the trained network, or the name of one that comes along",
    )
    parser.add_argument(
        "--ckpt", help="its float checkpoint (default: the best in its config's ckpt_dir)"
    )
    parser.add_argument("--output", required=True, metavar="FILE.pth.tar")


def run(args: argparse.Namespace) -> int:
    config = common.load_config(args)
    narrow = Config.fromfile(args.from_config)
    old, source = trained_model(narrow, "infer_cfg", "float", args.ckpt)
    output = Path(args.output)
    check_outputs(
        [(output, CHECKPOINT)], {"config": config.path, "--ckpt": str(source)}, "--output"
    )
    new = build_model(config, "infer_cfg")
    save_weights(output, widen_weights(old, new))
    print(f"Weights of {source} in the network of {config.path}: {output}")
    return 0
