"""A float checkpoint that computes the same and loses less when it is quantised.

``python -m benchmarks.equalise_channels --config FILE --ckpt FLOAT.pth.tar --output NEW.pth.tar
[--opts KEY VALUE ...]``

Shows the config's calibration batches to the network and gives the channels of every convolution
the same range, where that changes nothing in float (``horizon/quantization/equalise.py``). Do it
last: such a checkpoint cannot be averaged with one from before.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from hat.cli.sections import trained_model
from hat.config import Config, parse_opts
from hat.engine.checkpoint import save_weights
from hat.engine.convert import Float2Calibration
from hat.errors import InputError
from hat.outputs import check_outputs
from hat.registry import build_from_registry
from horizon.quantization import channel_ranges, check_same_output, equalise_channels


def equalised(config: Config, ckpt: Path) -> tuple[list[str], dict[str, torch.Tensor]]:
    """The layers that changed, and the weights of the network that computes the same.

    Raises:
        InputError: no float checkpoint of this network, or one that cannot be converted.
    """
    before, model, after = (
        trained_model(config, "calibration_trainer", "float", ckpt)[0] for _ in range(3)
    )
    weights = dict(model.named_parameters())  # the prepared layers below have the same tensors
    prepared = Float2Calibration(qat_mode="with_bn")(model)
    section = {**config.section("calibration_trainer"), "model": prepared, "callbacks": []}
    calibrator = build_from_registry(
        {**section, "model_convert_pipeline": None, "device": "cpu"}, "calibration_trainer"
    )
    with channel_ranges(prepared) as ranges:
        calibrator.run()
    layers = equalise_channels(prepared, ranges)
    with torch.no_grad():
        for name, weight in after.named_parameters():
            weight.copy_(weights[name])
    check_same_output(before, after, before.example_input(), "equalising")  # type: ignore[operator]
    return layers, after.state_dict()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--ckpt", type=Path, required=True, help="of the stage float")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE")
    args = parser.parse_args(words)
    try:
        check_outputs([args.output], {"--ckpt": args.ckpt}, "--output")
        config = Config.fromfile(args.config, parse_opts(args.opts))
        layers, state = equalised(config, args.ckpt)
        save_weights(args.output, state, "float")
    except (InputError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.output}: {len(layers)} layers: {', '.join(layers)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
