"""The whole chain on generated data, in a few minutes, with a report at the end.

Generates and packs a small data set; trains the shipped float network a little further and
calibrates it; trains the shipped fixed-point network a little further (a few steps are too few to
train a newly calibrated one) and converts it to integers; evaluates every stage on the held-out
pairs, before and after, and says if one has become worse; exports the shipped integer network to
ONNX and checks it there; compiles it, compares the program with it on some pairs, draws the
program's flow of a few, and estimates its performance on a few accelerators. Each step is a command
line that is printed before it runs.

--out-dir gets a manifest of what the demo has made. A folder with anything else in it is refused,
and so is an earlier demo without --overwrite, which removes what that manifest names.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hat.cli.common import print_table
from hat.cli.demo_data import check_data_set
from hat.config import Config
from hat.data.files import write_file
from hat.data.packers.flyingchairs_layout import SPLITS
from hat.data.synthesis.settings import DataSetPaths
from hat.deploy.comparison import COLUMNS, comparison_cells
from hat.engine.checkpoint import checkpoint_path
from hat.errors import InputError
from hat.owned_folder import OwnedFolder
from hat.processes import run_child
from hat.provenance import versions
from hat.run_log import read_log
from hat.shipped import find_config, shipped_models
from hat.visualize import plot_training_curve
from hat.visualize.report import html_report

CONFIG = "pwcnet_lite_demo"
SHIPPED = shipped_models().get("pwcnet_lite_generated", Path("models/pwcnet_lite_generated"))
STAGES = ("float", "calibration", "qat", "int_infer")
ALIGNED_PAIRS = 32
FLOAT_CKPT = checkpoint_path(SHIPPED, "float")
BEFORE, AFTER = "before", "after the demo's training"
WORSE = 0.0001  # px of end-point error: what the last decimal shows
ENTRIES = (
    *("train", "compiled", "machines", "pictures", "report.html"),
    *("align_bpu.json", "int_infer.onnx"),
    *(f"{stage}-{when}.json" for stage in STAGES for when in ("before", "after")),
)
# What commands make in their folders, as patterns.
COMPILED = ("model.hbm", "model.hbir", "*.html", "*.json")
TRAINED = (
    *("{stage}-checkpoint-*.pth.tar", "{stage}-log.txt", "{stage}-log.jsonl", "{stage}-run.json"),
    *("tensorboard/{stage}/events.out.tfevents.*", "{stage}-pictures/pair*.jpg", "report.html"),
)
PICTURES = ("*.flo", "*_flow.png", "*_figure.png", "*_error.png", ".hat-infer.*")
MACHINES = ("bayes", "bayes-e", "nash-e", "nash-m")
SHOWN_METRICS = ("EPE", "1px", "3px", "5px", "Fl-all", "zero-flow EPE")
Metrics = dict[str, float | None]  # None: not finite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out-dir", type=Path, default=Path("demo_out"), help="default: demo_out")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the earlier demo in --out-dir"
    )
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument(
        "--data-dir", type=Path, help="of the generated pairs (default: the config's data_dir)"
    )
    parser.add_argument(
        "--ckpt",
        default=str(FLOAT_CKPT),
        help="float network to start from; with another than the shipped one, the fixed-point "
        "training starts from its calibration",
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
    args.config = str(find_config(args.config))
    shipped = {stage: checkpoint_path(SHIPPED, stage) for stage in STAGES}
    for file in (args.config, args.ckpt, *shipped.values()):
        if not Path(file).is_file():
            raise InputError(f"{file}: no such file; the demo needs its config and its networks")
    data_dir = args.data_dir or Path(Config.fromfile(args.config).section("data_dir"))
    check_data_set(data_dir, args.num_pairs, args.num_val)
    owned = OwnedFolder(args.out_dir, "hat demo", "--out-dir", ENTRIES)
    owned.check(args.overwrite)
    for file in (args.config, args.ckpt):
        if args.out_dir.resolve() in Path(file).resolve().parents:
            raise InputError(
                f"--out-dir {args.out_dir}: holds {file}, which the demo reads; choose another"
            )
    started = time.perf_counter()
    with owned.run(versions(), args.overwrite):
        report = run_chain(Chain(owned), data_dir, shipped, args, started)
    print(f"\nReport:   {report}\nPictures: {args.out_dir / 'pictures'}")
    return 0


def run_chain(
    chain: Chain,
    data_dir: Path,
    shipped: Mapping[str, Path],
    args: argparse.Namespace,
    started: float,
) -> Path:
    """All commands one after the other; the report that is written of them."""
    config = config_words(args)
    prepare_data(chain, data_dir, args)
    trained = args.out_dir / "train"
    before = {}
    for stage, ckpt in {**shipped, "float": Path(args.ckpt)}.items():
        result = args.out_dir / f"{stage}-before.json"
        words = [*config, "--ckpt", str(ckpt), "--json", str(result)]
        chain.run("predict", "--stage", stage, *words, makes=[result.name])
        before[stage] = read_metrics(result)
    train(chain, trained, shipped, args)
    after = {}
    for stage in STAGES:
        result = args.out_dir / f"{stage}-after.json"
        words = [*config, "ckpt_dir", str(trained)]
        chain.run("predict", "--stage", stage, *words, "--json", str(result), makes=[result.name])
        after[stage] = read_metrics(result)
    integer = str(shipped["int_infer"])
    chain.run(
        *("export_onnx", "--stage", "int_infer", *config, "--ckpt", integer),
        *("--output", str(args.out_dir / "int_infer.onnx"), "--num-pairs", "2"),
        makes=["int_infer.onnx"],
    )
    program, compiled = compile_and_align(chain, integer, args)
    machines = estimate_machines(chain, integer, args)
    figures = draw(chain, data_dir, program, args)
    curves = []
    chain.folder.announce("train/*-curve.png", "report.html")
    for stage in ("float", "qat"):
        curves.append(trained / f"{stage}-curve.png")
        plot_training_curve(read_log(trained / f"{stage}-log.jsonl"), curves[-1])
    rows = [
        (f"{stage}, {when}", *(metrics[stage].get(key) for key in SHOWN_METRICS))
        for stage in STAGES
        for when, metrics in ((BEFORE, before), (AFTER, after))
    ]
    outcome = compare(before, after)
    report: Path = args.out_dir / "report.html"
    page = html_report(
        "From raw pairs to optical flow",
        f"{args.num_pairs} generated pairs, {args.num_val} of them held out; "
        f"{args.steps} float and {args.qat_steps} fixed-point training steps; "
        f"{time.perf_counter() - started:.0f} s in all. {outcome} {compiled}",
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
    print(f"\n{outcome}\n{compiled}")
    return report


def compare(
    before: Mapping[str, Mapping[str, float | None]],
    after: Mapping[str, Mapping[str, float | None]],
) -> str:
    """What the demo's training has done to each stage that is trained, in a sentence."""
    parts, worse = [], []
    for stage in ("float", "qat", "int_infer"):
        first, last = before[stage].get("EPE"), after[stage].get("EPE")
        parts.append(f"{stage} {_pixels(first)} -> {_pixels(last)} px")
        if last is None or (first is not None and last > first + WORSE):
            worse.append(stage)
    text = f"End-point error on held-out pairs by the demo's training: {', '.join(parts)}."
    if worse:
        text += f" WORSE than before: {', '.join(worse)}."
    return text


def _pixels(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"


def compile_and_align(chain: Chain, ckpt: str, args: argparse.Namespace) -> tuple[Path, str]:
    """The compiled program's file, and how it compares with the integer network, in a sentence."""
    folder, result = args.out_dir / "compiled", args.out_dir / "align_bpu.json"
    shipped = [*config_words(args), "--ckpt", ckpt]
    words = [*shipped, "--out-dir", str(folder)]
    chain.run("compile_perf", *words, makes=[f"{folder.name}/{kind}" for kind in COMPILED])
    program = folder / "model.hbm"
    chain.run(
        *("align_bpu_validation", *shipped, "--model", str(program), "--json", str(result)),
        *("--num-pairs", str(min(ALIGNED_PAIRS, args.num_val))),
        makes=[result.name],
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
        *("compile_perf", *config_words(args), "--ckpt", ckpt, "--out-dir", str(folder)),
        *("--march", *MACHINES),
        makes=["machines/comparison.json", *(f"machines/*/{kind}" for kind in COMPILED)],
    )
    record = json.loads((folder / "comparison.json").read_text())
    return [comparison_cells(figures) for figures in record["machines"]]


def train(
    chain: Chain, folder: Path, shipped: Mapping[str, Path], args: argparse.Namespace
) -> None:
    """All four stages into ``folder``.

    The shipped networks have settled; with larger rates than these a few steps shake them out of
    their minimum, and are too few to find another one. The weights that a stage begins with count
    when its best checkpoint is chosen.
    """
    words = [*config_words(args), "ckpt_dir", str(folder)]
    words += ["val_callback.val_on_train_begin", "True"]
    float_opts = {
        "lr": 5e-6,
        # the shipped network has settled for its running statistics
        "float_trainer.freeze_bn_step": 0,
        "log_freq": max(1, args.steps // 10),
        "float_trainer.num_steps": args.steps,
    }
    qat_opts = {
        "qat_lr": 5e-6,
        "qat_lr_callback.lr_decay_id": [args.qat_steps // 2, args.qat_steps * 4 // 5],
        "log_freq": max(1, args.qat_steps // 10),
        "qat_trainer.num_steps": args.qat_steps,
    }
    start = ["--ckpt", str(shipped["qat"])] if Path(args.ckpt) == FLOAT_CKPT else []
    more = {"float": [*flat(float_opts), "--ckpt", args.ckpt], "qat": [*flat(qat_opts), *start]}
    for stage in STAGES:
        makes = [f"train/{kind.format(stage=stage)}" for kind in TRAINED]
        chain.run("train", "--stage", stage, *words, *more.get(stage, []), makes=makes)


def config_words(args: argparse.Namespace) -> list[str]:
    """``--config`` and ``--opts``, to which more options of the config can be added."""
    data = args.data_dir or Config.fromfile(args.config).section("data_dir")
    return ["--config", args.config, "--opts", "data_dir", str(data)]


def flat(options: Mapping[str, object]) -> list[str]:
    """``--opts`` words: key value key value ..."""
    return [str(word) for pair in options.items() for word in pair]


def read_metrics(path: Path) -> Metrics:
    """The metrics of the first data set; None stands for what is not finite."""
    metrics: Metrics = json.loads(path.read_text())["data_sets"][0]["metrics"]
    return metrics


class Chain:
    """Runs commands of the toolkit one after the other and remembers them."""

    def __init__(self, folder: OwnedFolder) -> None:
        self.folder = folder
        self.commands: list[str] = []

    def run(self, command: str, *words: str, makes: Sequence[str] = ()) -> None:
        """Run ``hat command words``.

        Args:
            makes: what it makes in the folder, as :meth:`OwnedFolder.announce` takes it.

        Raises:
            InputError: it failed; its own message stands above.
        """
        line = shlex.join(["hat", command.replace("_", "-"), *words])
        self.commands.append(line)
        print(f"\n$ {line}", flush=True)
        self.folder.announce(*makes)
        code = run_child([sys.executable, "-m", "hat.cli.main", command, *words])
        self.folder.note()
        if code:
            raise InputError(f"the demo stopped: '{line}' ended with exit code {code}")


def prepare_data(chain: Chain, data_dir: Path, args: argparse.Namespace) -> None:
    """Generate and pack what is not there, or only half made."""
    paths = DataSetPaths(data_dir)
    if paths.under_way.exists() or not paths.summary.exists():
        chain.run(
            "flyingchairs_generator",
            *("--target-data-dir", str(data_dir)),
            *("--num-pairs", str(args.num_pairs), "--num-val", str(args.num_val)),
        )
    for split in SPLITS:
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
            *(*config_words(args), "--model", str(program), "--save-path", str(folder)),
            *("--model-inputs", f"img1:{first},img2:{second},gt:{flow}"),
            makes=[f"{folder.name}/{kind}" for kind in PICTURES],
        )
        figures.append(folder / f"{first.stem}_figure.png")
    return figures
