"""Generate a FlyingChairs-like data set (pairs of images with exact flow) in FlyingChairs' layout.

A recipe: settings from the command line, the data set from :mod:`hat.data.synthesis`, its flow
statistics printed beside the published ones. The same command after an interruption goes on where
it stopped.

Raises (exit code 2): :class:`hat.errors.InputError` for values out of range, a folder with other
data or other settings, a folder without photographs, a damaged photograph, a full disk.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hat import interruption
from hat.data.synthesis.data_set import generate_data_set
from hat.data.synthesis.effects import EFFECTS
from hat.data.synthesis.motions import MOTIONS
from hat.data.synthesis.photographs import PhotographTextures
from hat.data.synthesis.render import TextureSource
from hat.data.synthesis.settings import GeneratorSettings
from hat.data.synthesis.shape_kinds import SHAPES
from hat.data.synthesis.statistics import PUBLISHED_STATISTICS
from hat.data.synthesis.texture_bank import TextureBank
from hat.errors import InputError
from horizon.cpus import usable_cpus

__all__ = ["add_arguments", "run"]

EFFECT_SETTINGS: dict[str | None, bool | str] = {None: False, "basic": True, "full": "full"}
PUBLISHED_VAL_FRACTION = 640 / 22872  # of FlyingChairs' own split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the generator's options to ``parser``."""
    parser.add_argument("--target-data-dir", required=True, type=Path, help="folder to write to")
    parser.add_argument("--num-pairs", required=True, type=int, help="how many pairs")
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=(384, 512),
        metavar=("H", "W"),
        help="height and width of the images (default: 384 512)",
    )
    parser.add_argument(
        "--scale-motion",
        action="store_true",
        help="multiply motions and shapes by H / 384 (default: the published pixels at any size)",
    )
    share = parser.add_mutually_exclusive_group()
    share.add_argument(
        "--val-fraction",
        type=float,
        default=PUBLISHED_VAL_FRACTION,
        help="share of validation pairs (default: FlyingChairs' 0.028)",
    )
    share.add_argument("--num-val", type=int, help="number of validation pairs")
    parser.add_argument(
        "--backgrounds",
        type=Path,
        metavar="DIR",
        help="photographs for backgrounds and half of the objects (default: procedural textures)",
    )
    parser.add_argument(
        "--motions",
        nargs="+",
        default=["chairs"],
        metavar="NAME[=WEIGHT]",
        help=f"distributions of motions: {', '.join(MOTIONS)} (default: chairs, FlyingChairs' own)",
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        default=["published"],
        metavar="NAME[=WEIGHT]",
        help=f"kinds of objects: {', '.join(SHAPES)} (default: published)",
    )
    parser.add_argument(
        "--plain",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the objects in a plain, often dark colour, hardly textured (default: 0)",
    )
    parser.add_argument(
        "--textures",
        type=Path,
        metavar="FILE",
        help="a bank of textures instead, drawn (of --backgrounds too) where there is none",
    )
    parser.add_argument(
        "--effects",
        nargs="?",
        const="basic",
        choices=list(EFFECTS),
        help="change light, sharpness and compression at random; full: also night, moving shadows, "
        "fog, noise, and blur and haze of each layer for itself",
    )
    parser.add_argument(
        "--background-layers",
        nargs=2,
        type=int,
        default=(1, 1),
        metavar=("MIN", "MAX"),
        help="layers of the background, which move with parallax (default: 1 1)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: 0)")
    parser.add_argument(
        "--num-workers",
        type=int,
        default=usable_cpus(),
        help="processes (default: one for each CPU)",
    )


def run(args: argparse.Namespace) -> int:
    """Generate the data set that ``args`` describes; print its statistics."""
    if not 0 <= args.val_fraction <= 1:
        raise InputError(f"--val-fraction: {args.val_fraction}; expected 0 to 1")
    if args.num_workers < 1:
        raise InputError(f"--num-workers: {args.num_workers}; expected at least 1")
    photographs = PhotographTextures(args.backgrounds) if args.backgrounds else None
    textures: TextureSource | None = photographs
    bank = None
    if args.textures:
        textures = bank = TextureBank(args.textures, photographs=args.backgrounds)
    num_val = args.num_val
    settings = GeneratorSettings(
        num_pairs=args.num_pairs,
        num_val=round(args.val_fraction * args.num_pairs) if num_val is None else num_val,
        size=tuple(args.size),
        seed=args.seed,
        scale_motion=args.scale_motion,
        backgrounds=photographs.fingerprint() if photographs else "",
        motions=named_weights("--motions", args.motions),
        shapes=named_weights("--shapes", args.shapes),
        plain=args.plain,
        textures=bank.fingerprint() if bank else "",
        effects=EFFECT_SETTINGS[args.effects],
        background_layers=tuple(args.background_layers),
    )
    with interruption.advice("the pairs so far are kept; run the same command to continue"):
        summary = generate_data_set(args.target_data_dir, settings, textures, args.num_workers)
    train = settings.num_pairs - settings.num_val
    print(f"{args.target_data_dir}: {train} training and {settings.num_val} validation pairs")
    _print_statistics(summary["flow_length_px"], settings)
    return 0


def named_weights(option: str, words: list[str]) -> dict[str, float]:
    """``["chairs=2", "small"]`` to ``{"chairs": 2.0, "small": 1.0}``."""
    weights = {}
    for word in words:
        name, _, weight = word.partition("=")
        try:
            weights[name] = float(weight or 1)
        except ValueError:
            raise InputError(f"{option}: {word}; expected NAME or NAME=WEIGHT") from None
    return weights


def _print_statistics(found: dict[str, float], settings: GeneratorSettings) -> None:
    """Lengths scale with the unit, so the published ones do where the proportions are the same."""
    height, width = settings.size
    comparable = (
        settings.motions.keys() == {"chairs"}
        and settings.shapes.keys() == {"published"}
        and settings.background_layers == (1, 1)
        and height * 4 == width * 3
        and settings.unit == height / 384
    )
    print("|flow| px" + ("    here  published" if comparable else "    here"))
    for name, value in found.items():
        known = PUBLISHED_STATISTICS.get(name)
        beside = f"{known * settings.unit:11.2f}" if comparable and known else ""
        print(f"{name:9s}{value:8.2f}{beside}")
