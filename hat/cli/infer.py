"""Estimate the flow of what you have: two images, a folder of frames, a video, a camera.

  hat infer A.png B.png -o out                 two images: flow file, picture, figure
  hat infer frames/ -o out                     a folder of frames, or 'frames/*.png'
  hat infer clip.mp4 -o flow.mp4               a video to a video
  hat infer 0 -o flow.mp4                      camera 0, until Ctrl-C
  hat infer frames/ --truth flow/ -o out       with errors, error maps and a table

The compiled program of a network that comes with the package computes. --model takes another one,
or a compiled program; --config takes the network of a config, in the stage int_infer unless --stage
or --ckpt names another.

What is written, by --write (default: flo, picture and, of two images, figure; error where the true
flow is known; of a video or a camera: video). NAME is that of the first image of the pair:

  flo       NAME.flo           flow in px (Middlebury format)
  kitti     NAME_kitti.png     flow in KITTI's 16-bit format, steps of 1/64 px
  npz       NAME.npz           flow as the numpy array "flow", float32 (H, W, 2)
  picture   NAME_flow.png      flow in the colours of the wheel, or as arrows (--style, --layout)
  figure    NAME_figure.png    images, flow and, with true flow, error side by side
  error     NAME_error.png     with true flow: error map in KITTI's colours
  video     SOURCE_flow.mp4    or FILE with -o FILE.mp4 (.avi, .mkv, .mov; .webm plays in browsers)

With a config and --model-inputs img1:A.png,img2:B.png[,gt:A.flo] the config's infer_cfg reads the
images and draws. True flow is .flo, KITTI's 16-bit .png or .pfm.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from hat.cli import common
from hat.errors import InputError
from hat.paths import expand_home
from hat.sequences.results import KINDS
from hat.stages import STAGES
from hat.visualize.painter import LAYOUTS, STYLES

INPUT_KEYS = ("img1", "img2", "gt")
DEFAULT_STAGE = "int_infer"
DEFAULT_MODEL = "pwcnet_lite"
# Of a sequence, by their default: an option that says nothing about the config's pair is refused.
SEQUENCE_OPTIONS = {
    "pairs": False,
    "start": 0,
    "frames": None,
    "every": 1,
    "fps": None,
    "truth": None,
    "write": None,
    "style": "colours",
    "layout": None,
    "max_flow": None,
    "no_legend": False,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="images, a folder or a quoted pattern of them, a video, or the number of a camera",
    )
    parser.add_argument(
        "-o",
        "--save-path",
        required=True,
        metavar="PATH",
        help="folder of the results, or the file of a video",
    )
    parser.add_argument(
        "--model-inputs",
        metavar="img1:PATH,img2:PATH[,gt:PATH]",
        help="two images and, if known, their true flow (default: infer_cfg.infer_inputs)",
    )
    _add_frames(parser.add_argument_group("frames"))
    _add_results(parser.add_argument_group("results"))
    _add_network(parser, parser.add_argument_group("network"))


def _add_frames(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--pairs", action="store_true", help="images 1 and 2 are a pair, 3 and 4, and so on"
    )
    group.add_argument("--start", type=_count, default=0, help="frames to leave out at first")
    group.add_argument("--frames", type=_at_least(2), metavar="N", help="use N frames at most")
    group.add_argument("--every", type=_at_least(1), default=1, metavar="N", help="each Nth frame")
    group.add_argument("--fps", type=_positive, help="frames per second of the input")


def _add_results(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--truth", metavar="PATH", help="folder or quoted pattern of the true flows, or one file"
    )
    group.add_argument("--write", nargs="+", choices=KINDS, metavar="KIND", help="see above")
    group.add_argument("--style", choices=STYLES, default="colours", help="default: colours")
    group.add_argument(
        "--layout",
        choices=LAYOUTS,
        help="flow alone, beside the image or over it (default: pictures alone, videos beside)",
    )
    group.add_argument(
        "--max-flow",
        type=_positive,
        metavar="PX",
        help="speed with full colour (default: found in a few pairs, then fixed)",
    )
    group.add_argument("--no-legend", action="store_true", help="pictures and videos without it")


def _add_network(parser: argparse.ArgumentParser, group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model",
        metavar="NAME|FILE.hbm",
        help=f"network of the package, or compiled program (default: {DEFAULT_MODEL})",
    )
    group.add_argument(
        "--threads",
        type=_at_least(1),
        help="of the program (default: all cores but one, of two images all)",
    )
    common.add_config_arguments(parser, stages=None, required=False)
    group.add_argument(
        "-s",
        "--stage",
        choices=STAGES,
        help=f"stage of the config's network (default: that of --ckpt, or {DEFAULT_STAGE})",
    )
    group.add_argument("--ckpt", help="checkpoint (default: the stage's best in ckpt_dir)")


def run(args: argparse.Namespace) -> int:
    check(args)
    if args.config and not args.inputs:
        from hat.cli.infer_pair import run_pair  # loads torch, as the config's network needs it

        return run_pair(args)
    from hat.cli.infer_sequence import run_sequence

    return run_sequence(args)


def check(args: argparse.Namespace) -> None:
    """InputError for options that contradict each other, and for one that nothing reads."""
    if args.model and args.ckpt:
        raise InputError("--ckpt with --model: a program has its weights; leave one of them out")
    if args.model and args.stage:
        raise InputError("--stage with --model: a program is int_infer's; leave --stage out")
    if not args.config and (args.stage or args.ckpt or args.opts):
        option = "--stage" if args.stage else "--ckpt" if args.ckpt else "--opts"
        raise InputError(f"{option} without --config: name the config of the network")
    if args.threads and args.config and not args.model:
        raise InputError("--threads is for a compiled program; leave it out with --config")
    if args.inputs and args.model_inputs:
        raise InputError("--model-inputs beside other inputs; leave one of them out")
    if not (args.inputs or args.model_inputs or args.config):
        raise InputError(
            "no input: give two images, a folder of frames, a video or the number of a camera"
        )
    if args.config and not args.inputs:
        for name, default in SEQUENCE_OPTIONS.items():
            if getattr(args, name) != default:
                option = "--" + name.replace("_", "-")
                raise InputError(
                    f"{option} with the config's inputs, which its viz_func draws; name the images "
                    "as INPUT to choose what is written"
                )


def parse_model_inputs(text: str) -> dict[str, str]:
    """``"img1:a.png,img2:b.png"`` as a dict.

    Only ``img1:``, ``img2:`` and ``gt:`` at the beginning or after a comma separate entries, so
    that paths may contain colons and commas themselves.

    Raises:
        InputError: another beginning, a key twice, an empty path, or an image missing.
    """
    keys = "|".join(INPUT_KEYS)
    form = "expected img1:PATH,img2:PATH or img1:PATH,img2:PATH,gt:PATH"
    words = re.split(rf"(?:^|,)\s*({keys}):", text.strip())
    if words[0]:
        raise InputError(f"--model-inputs {text!r}: found {words[0]!r} before a key; {form}")
    inputs: dict[str, str] = {}
    for key, path in zip(words[1::2], words[2::2], strict=True):
        if key in inputs:
            raise InputError(f"--model-inputs {text!r}: {key} is given twice; {form}")
        if not path.strip():
            raise InputError(f"--model-inputs {text!r}: {key} has no path; {form}")
        inputs[key] = expand_home(path.strip())
    for key in ("img1", "img2"):
        if key not in inputs:
            raise InputError(f"--model-inputs {text!r}: {key} is missing; {form}")
    return inputs


def _count(text: str) -> int:
    return _whole(text, 0)


def _at_least(least: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        return _whole(text, least)

    return whole_number


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from {least}")
    return value


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return value
