"""Checks the programs for every machine, their integers and DDR bytes, and prints their estimates.

``python -m benchmarks.machines [--opts O1 O2 O3] [--size H W] [--json FILE]``

Compiles the tutorial's full network (random weights, calibrated on one smooth pair), the shipped
lite network, and a one-level network without warps for machines that cannot warp. Each program runs
on the executor, on board images. Its integers are compared with those of the integer model, and the
bytes of its estimate with the executor's counters. The table has published times beside the
estimates of the full network at 384x512. A second table has the estimated gain of each level. Exits
with 1 if an integer or a byte differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import horizon.march
from benchmarks.board_images import fitted, image_pairs
from benchmarks.calibration_choices import CONFIG
from benchmarks.executors import CALIBRATION, LITE
from benchmarks.runtimes import Network
from benchmarks.training_step import machine
from hat.cli.common import print_table
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.files import json_text, write_json
from hat.deploy.random_program import random_program
from hat.errors import InputError
from horizon import hbm
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.hbir import resized
from horizon.march import Machine
from horizon.perf import as_json, estimate, html_page
from horizon.quantization import IntegerModel
from horizon.runtime import Model

# Published times of the full network at 384x512 in ms, with a frame on each core.
PUBLISHED = {("full", "bayes"): 12.4, ("full", "bayes-e"): 41.0}
PUBLISHED_SIZE = (384, 512)
ONE_LEVEL = {
    "pyr_lvls": 2,
    "flow_pred_lvl": 2,
    "out_channels": [16, 32],
    "loss_weights": [1.0],
}
COLUMNS = (
    "network",
    "machine",
    "opt",
    "differing",
    "DDR bytes",
    "counted",
    "ms",
    "bound ms",
    "published ms",
    "ratio",
    "compile s",
    "report s",
)


def networks() -> dict[str, IntegerModel]:
    """The integer models by name."""
    config = Config.fromfile(CONFIG)
    lite, _ = trained_model(config, "infer_cfg", "int_infer", LITE)
    assert isinstance(lite, IntegerModel)
    single = random_program(Config.fromfile(CONFIG, ONE_LEVEL))
    return {"full": Network("full", *CALIBRATION).integer, "lite": lite, "one level": single}


class Comparison:
    """One network on images of one size.

    Attributes:
        images: uint8 (1, 6, H, W).
        wanted: the integer model's output for each.
    """

    def __init__(self, name: str, model: IntegerModel, images: list[np.ndarray]) -> None:
        self.name, self.images = name, images
        height, width = images[0].shape[2:]
        self.size = (height, width)
        self.graph = resized(model.graph, 1, height, width)
        steps = [(image ^ 128).view(np.int8) for image in images]
        self.wanted = [model.integers(torch.from_numpy(step)).numpy() for step in steps]

    def row(self, target: Machine, opt: str) -> dict[str, Any]:
        """Compile, estimate and run a network; returns its row."""
        started = time.perf_counter()
        compiled = compile_program(self.graph, target, opt=opt)
        verify_program(compiled)
        done = time.perf_counter()
        found = estimate(compiled.program, target)
        json.dumps(as_json(found))
        html_page(found)
        reported = time.perf_counter()
        model = Model(hbm.to_bytes(compiled.program))
        (image,), (flow,) = model.inputs, model.outputs
        differing, counted = 0, set()
        for picture, wanted in zip(self.images, self.wanted, strict=True):
            outputs, counters = model.run_counted({image.name: picture})
            differing += int(np.count_nonzero(outputs[flow.name] != wanted))
            counted.add((counters.load_bytes, counters.store_bytes))
        row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
        row |= {"network": self.name, "machine": target.name, "opt": opt, "differing": differing}
        row |= {"DDR bytes": found.loaded + found.stored}
        row |= {"counted": "equal" if counted == {(found.loaded, found.stored)} else "differ"}
        row |= {"ms": found.latency * 1e3, "bound ms": found.bound * 1e3}
        row |= {"compile s": done - started, "report s": reported - done}
        published = PUBLISHED.get((self.name, target.name))
        if published is not None and self.size == PUBLISHED_SIZE:
            row |= {"published ms": published, "ratio": found.latency * 1e3 / published}
        return row


def compare(comparison: Comparison, opts: list[str]) -> list[dict[str, Any]]:
    """A row for each machine and level, or one row with the reason if the machine refuses."""
    rows = []
    for name in horizon.march.available():
        for opt in opts:
            try:
                row = comparison.row(horizon.march.load(name), opt)
            except InputError as error:
                row = dict.fromkeys(COLUMNS, "")
                row |= {"network": comparison.name, "machine": name, "opt": opt}
                row |= {"differing": "refused", "why": str(error)}
            rows.append(row)
            print(*row.values(), file=sys.stderr, flush=True)
    return rows


def print_gains(rows: list[dict[str, Any]], opts: list[str]) -> None:
    """Print the estimated gain of each level over the first level of ``--opts``."""
    found = {(r["network"], r["machine"], r["opt"]): r["ms"] for r in rows if r["ms"]}
    table = []
    for network, name in dict.fromkeys((r["network"], r["machine"]) for r in rows if r["ms"]):
        times = [found[network, name, opt] for opt in opts]
        gains = [f"{times[0] / time:.2f}" for time in times[1:]]
        table.append([network, name, *(f"{time:.2f}" for time in times), *gains])
    header = [*(f"{opt}, ms" for opt in opts), *(f"{opts[0]} / {opt}" for opt in opts[1:])]
    print_table(table, ["network", "machine", *header])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--opts", nargs="+", default=["O1", "O2", "O3"], metavar="O2")
    parser.add_argument("--size", type=int, nargs=2, default=PUBLISHED_SIZE, metavar=("H", "W"))
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the table to this file too")
    args = parser.parse_args()
    if args.pairs < 1 or any(side < 64 or side % 64 for side in args.size):
        parser.error("expected --pairs of 1 or more and --size of multiples of 64")
    size = (args.size[0], args.size[1])
    pairs, source = image_pairs(args.pairs, size)
    images = [fitted(pair, size) for pair in pairs]
    rows = []
    for name, model in networks().items():
        rows += compare(Comparison(name, model, images), args.opts)
    shown = [[row[name] for name in COLUMNS] for row in rows]
    print_table([[f"{v:.2f}" if isinstance(v, float) else v for v in r] for r in shown], COLUMNS)
    print_gains(rows, args.opts)
    for row in rows:
        if "why" in row:
            print(f"{row['network']}, {row['machine']}, {row['opt']}: {row['why']}")
    wrong = sum(bool(row["counted"] == "differ") for row in rows)
    wrong += sum(row["differing"] for row in rows if isinstance(row["differing"], int))
    result = {
        "images": source,
        "machine": machine(torch.device("cpu")),
        "size": list(size),
        "programs that ran": sum(isinstance(row["differing"], int) for row in rows),
        "differing output integers or byte counts": wrong,
    }
    print(json_text(result, indent=2))
    if args.json:
        write_json(args.json, {**result, "rows": rows})
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
