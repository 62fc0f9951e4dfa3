"""The whole chain on generated data, in a few minutes, with a report at the end.

Generates and packs a small data set; trains the shipped float network a little further, calibrates
it, trains it on fixed-point arithmetic and converts it to integers; evaluates every stage on the
held-out pairs, beside the shipped integer network; exports that to ONNX and checks it there;
compiles it, compares the program with it on some pairs, draws the program's flow of a few, and
estimates its performance on a few accelerators. Each step is a command line that is printed before
it runs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from hat.cli.common import print_table
from hat.config import Config
from hat.data.files import write_file
from hat.deploy.comparison import COLUMNS, comparison_cells
from hat.engine.checkpoint import checkpoint_path
from hat.errors import InputError
from hat.run_log import read_log
from hat.visualize import plot_training_curve
from hat.visualize.report import html_report

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py"
SHIPPED = Path("models/pwcnet_lite")
STAGES = ("float", "calibration", "qat", "int_infer")
ALIGNED_PAIRS = 32
MACHINES = ("bayes", "bayes-e", "nash-e", "nash-m")
SHOWN_METRICS = ("EPE", "1px", "3px", "5px", "Fl-all", "zero-flow EPE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out-dir", type=Path, default=Path("demo_out"), help="default: demo_out")
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument(
        "--ckpt", default=str(checkpoint_path(SHIPPED, "float")), help="float network to start from"
    )
    parser.add_argument("--num-pairs", type=int, default=256, help="generated pairs (default 256)")
    parser.add_argument("--num-val", type=int, default=128, help="held-out ones among them")
    parser.add_argument("--steps", type=int, default=60, help="float training steps (default 60)")
    parser.add_argument("--qat-steps", type=int, default=40, help="fixed-point ones (default 40)")
    parser.add_argument("--num-pictures", type=int, default=4, help="pairs to draw (default 4)")


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.num_pictures <= args.num_val < args.num_pairs:
        raise InputError(
            "expected 1 <= --num-pictures <= --num-val < --num-pairs, found "
            f"{args.num_pictures}, {args.num_val}, {args.num_pairs}"
        )
    for file in (args.config, args.ckpt, checkpoint_path(SHIPPED, "int_infer")):
        if not Path(file).is_file():
            raise InputError(f"{file}: no such file; run the demo in the project's folder")
    started = time.perf_counter()
    chain = Chain(args.out_dir)
    data_dir = Path(Config.fromfile(args.config).section("data_dir"))
    prepare_data(chain, data_dir, args)
    trained = args.out_dir / "train"
    train(chain, trained, args)
    config = ["--config", args.config, "--opts", "ckpt_dir", str(trained)]
    metrics = {}
    for stage in STAGES:
        result = args.out_dir / f"{stage}.json"
        chain.run("predict", "--stage", stage, *config, "--json", str(result))
        metrics[f"{stage}, after the demo's training"] = read_metrics(result)
    shipped = str(checkpoint_path(SHIPPED, "int_infer"))
    result = args.out_dir / "shipped.json"
    chain.run(
        *("predict", "--stage", "int_infer", "--config", args.config),
        *("--ckpt", shipped, "--json", str(result)),
    )
    metrics["int_infer, shipped"] = read_metrics(result)
    chain.run(
        *("export_onnx", "--stage", "int_infer", "--config", args.config, "--ckpt", shipped),
        *("--output", str(args.out_dir / "int_infer.onnx"), "--num-pairs", "2"),
    )
    program, compiled = compile_and_align(chain, shipped, args)
    machines = estimate_machines(chain, shipped, args)
    figures = draw(chain, data_dir, program, args)
    curves = []
    for stage in ("float", "qat"):
        curves.append(trained / f"{stage}-curve.png")
        plot_training_curve(read_log(trained / f"{stage}-log.jsonl"), curves[-1])
    rows = [(name, *(values[key] for key in SHOWN_METRICS)) for name, values in metrics.items()]
    report = args.out_dir / "report.html"
    page = html_report(
        "From raw pairs to optical flow",
        f"{args.num_pairs} generated pairs, {args.num_val} of them held out; "
        f"{args.steps} float and {args.qat_steps} fixed-point training steps; "
        f"{time.perf_counter() - started:.0f} s in all. {compiled}",
        [
            ("Metrics on held-out pairs", ("stage", *SHOWN_METRICS), rows),
            ("Estimated performance of the compiled network", COLUMNS, machines),
        ],
        [("Held-out pairs, compiled program", figures), ("Training, float and qat", curves)],
        chain.commands,
    )
    write_file(report, page.encode())
    print()
    print_table(rows, ("stage", *SHOWN_METRICS))
    print(f"\n{compiled}\n\nReport:   {report}\nPictures: {args.out_dir / 'pictures'}")
    return 0


def compile_and_align(chain: Chain, ckpt: str, args: argparse.Namespace) -> tuple[Path, str]:
    """The compiled program's file, and how it compares with the integer network, in a sentence."""
    folder, result = args.out_dir / "compiled", args.out_dir / "align_bpu.json"
    shipped = ["--config", args.config, "--ckpt", ckpt]
    chain.run("compile_perf", *shipped, "--out-dir", str(folder))
    program = folder / "model.hbm"
    chain.run(
        *("align_bpu_validation", *shipped, "--model", str(program), "--json", str(result)),
        *("--num-pairs", str(min(ALIGNED_PAIRS, args.num_val))),
    )
    found = json.loads(result.read_text())["data_sets"][0]
    return program, (
        f"Compiled program: {found['differing']} of {found['values']:,} output integers differ "
        f"from the integer network's on {found['pairs']} held-out pairs; "
        f"{found['pairs'] / found['program_seconds']:.0f} pairs/s."
    )


def estimate_machines(chain: Chain, ckpt: str, args: argparse.Namespace) -> list[tuple[str, ...]]:
    """The estimate of the shipped network on each of MACHINES, as cells of COLUMNS."""
    folder = args.out_dir / "machines"
    chain.run(
        *("compile_perf", "--config", args.config, "--ckpt", ckpt, "--out-dir", str(folder)),
        *("--march", *MACHINES),
    )
    record = json.loads((folder / "comparison.json").read_text())
    return [comparison_cells(figures) for figures in record["machines"]]


def train(chain: Chain, folder: Path, args: argparse.Namespace) -> None:
    """All four stages, each from the one before, into ``folder``."""
    words = ["--config", args.config, "--opts"]
    common = {"ckpt_dir": folder}
    float_opts = {
        "lr": 1e-4,
        # the shipped network has settled for its running statistics
        "float_trainer.freeze_bn_step": 0,
        "log_freq": max(1, args.steps // 10),
        "float_trainer.num_steps": args.steps,
    }
    qat_opts = {
        "qat_lr": 1e-4,
        "log_freq": max(1, args.qat_steps // 10),
        "qat_trainer.num_steps": args.qat_steps,
    }
    chain.run("train", "--stage", "float", *words, *flat(common | float_opts), "--ckpt", args.ckpt)
    chain.run("train", "--stage", "calibration", *words, *flat(common))
    chain.run("train", "--stage", "qat", *words, *flat(common | qat_opts))
    chain.run("train", "--stage", "int_infer", *words, *flat(common))


def flat(options: Mapping[str, object]) -> list[str]:
    """``--opts`` words: key value key value ..."""
    return [str(word) for pair in options.items() for word in pair]


def read_metrics(path: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads(path.read_text())["data_sets"][0]["metrics"]
    return metrics


class Chain:
    """Runs commands of the toolkit one after the other and remembers them."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.commands: list[str] = []

    def run(self, command: str, *words: str) -> None:
        """Run ``hat command words``.

        Raises:
            InputError: it failed; its own message stands above.
        """
        line = shlex.join(["hat", command.replace("_", "-"), *words])
        self.commands.append(line)
        print(f"\n$ {line}", flush=True)
        code = subprocess.run([sys.executable, "-m", "hat.cli.main", command, *words]).returncode
        if code:
            raise InputError(f"the demo stopped: '{line}' ended with exit code {code}")


def prepare_data(chain: Chain, data_dir: Path, args: argparse.Namespace) -> None:
    """Generate and pack, unless a data set is there already."""
    if not all((data_dir / f"{split}_lmdb").is_dir() for split in ("train", "val")):
        chain.run(
            "flyingchairs_generator",
            *("--target-data-dir", str(data_dir)),
            *("--num-pairs", str(args.num_pairs), "--num-val", str(args.num_val)),
        )
        for split in ("train", "val"):
            if not (data_dir / f"{split}_lmdb").is_dir():
                chain.run(
                    "flyingchairs_packer",
                    *("--src-data-dir", str(data_dir), "--split-name", split),
                )


def draw(chain: Chain, data_dir: Path, program: Path, args: argparse.Namespace) -> list[Path]:
    """Figures of the first held-out pairs; the generator numbers those first."""
    raw = data_dir / "FlyingChairs_release" / "data"
    folder = args.out_dir / "pictures"
    figures = []
    for number in range(1, args.num_pictures + 1):
        first, second, flow = (
            raw / f"{number:05d}_{kind}" for kind in ("img1.ppm", "img2.ppm", "flow.flo")
        )
        chain.run(
            "infer",
            *("--config", args.config, "--model", str(program), "--save-path", str(folder)),
            *("--model-inputs", f"img1:{first},img2:{second},gt:{flow}"),
        )
        figures.append(folder / f"{first.stem}_figure.png")
    return figures
