"""Write an integer network to a file that FlowModel runs: for any image size, without torch.

The network is that of a checkpoint of the stage int_infer. The file has its integer graph with all
weights, and horizon_flow compiles it for each size of images that it meets:

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
from hat.data.files import make_folder
from hat.engine.convert import LoadIntegerModel
from hat.errors import InputError
from hat.file_kinds import NETWORK
from hat.outputs import check_outputs
from horizon.files import atomic_path
from horizon.hbir import Graph
from horizon_flow.network_file import SUFFIX, network_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument("--ckpt", help="int_infer checkpoint (default: the best in ckpt_dir)")
    parser.add_argument(
        "--output",
        metavar=f"NAME{SUFFIX}",
        help=f"the file; NAME is the network's (default: the config's task_name, {SUFFIX})",
    )


def run(args: argparse.Namespace) -> int:
    config = common.load_config(args)
    name = config.get("task_name", "network")
    path = Path(args.output or common.name_for_file(config, "task_name", name) + SUFFIX)
    if path.suffix != SUFFIX:
        raise InputError(f"--output {path}: expected a name that ends in {SUFFIX}")
    check_outputs([(path, NETWORK)], reads(config, ckpt=args.ckpt), "--output")
    source = stage_checkpoint(config, "int_infer", args.ckpt)
    graph = LoadIntegerModel(source)().graph
    check_flow_network(graph, source)
    data = network_bytes(replace(graph, name=path.stem))
    make_folder(path.parent)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    print(f"{path}: {len(data):,} bytes, the network of {source}")
    return 0


def check_flow_network(graph: Graph, source: Path) -> None:
    """InputError unless it has a pair of images as its input and flow as its output."""
    infos = [graph.tensors[name] for name in (*graph.inputs, *graph.outputs)]
    found = [(info.dtype, info.shape[3]) for info in infos]
    if found != [("int8", 6), ("int32", 2)]:
        tensors = ", ".join(f"{info.name} {info.dtype}, {info.shape[3]} channels" for info in infos)
        raise InputError(
            f"{source}: no network that FlowModel runs: inputs and outputs are {tensors}; expected "
            "an image pair int8 of 6 channels, and flow int32 of 2"
        )
