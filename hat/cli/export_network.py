"""Write an integer network to a file that FlowModel runs: for any image size, without torch.

The network is that of a checkpoint of the stage int_infer. The file has its integer graph with all
weights; horizon_flow compiles it for each size of image that it meets:

  FlowModel("NAME.npz")(image1, image2)

The same checkpoint gives the same bytes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from hat.cli import common
from hat.cli.checkpoints import stage_checkpoint
from hat.cli.reads import reads
from hat.engine.convert import LoadIntegerModel
from hat.errors import InputError
from hat.outputs import check_outputs
from horizon.files import atomic_path
from horizon_flow.network_file import SUFFIX, network_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument("--ckpt", help="int_infer checkpoint (default: the best in ckpt_dir)")
    parser.add_argument(
        "--output", metavar=f"NAME{SUFFIX}", help=f"the file (default: task_name{SUFFIX})"
    )


def run(args: argparse.Namespace) -> int:
    config = common.load_config(args)
    path = Path(args.output or f"{config.get('task_name', 'network')}{SUFFIX}")
    if path.suffix != SUFFIX:
        raise InputError(f"--output {path}: expected a name that ends in {SUFFIX}")
    check_outputs([path], reads(config, ckpt=args.ckpt), "--output")
    source = stage_checkpoint(config, "int_infer", args.ckpt)
    data = network_bytes(replace(LoadIntegerModel(source)().graph, name=path.stem))
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    print(f"{path}: {len(data):,} bytes, the network of {source}")
    return 0
