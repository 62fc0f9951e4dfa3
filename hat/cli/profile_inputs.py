"""What the model profiler looks at: the stages of a network, and image pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hat.cli.infer import parse_model_inputs
from hat.cli.sections import read_section, trained_model, validation_loader
from hat.config import Config
from hat.engine.data_loading import batches
from hat.engine.processors import to_device
from hat.errors import InputError
from hat.models.tasks import NetworkTask
from hat.registry import build_from_registry
from hat.sequences.truth import read_truth
from horizon.quantization import check_fusing, convert, quantisable


@dataclass(frozen=True)
class Stage:
    """A network of a stage, all of them with the same names of layers.

    Attributes:
        name: of the stage.
        model: in evaluation mode; a prepared one quantises, with frozen scales.
        prepared: the calibration or QAT model, of int_infer the one it was converted from; of
            float the model itself.
        source: the checkpoint.
    """

    name: str
    model: nn.Module
    prepared: nn.Module
    source: Path


def load_stage(config: Config, stage: str, ckpt: str | Path | None, device: torch.device) -> Stage:
    """The config's model with the weights of ``stage``, on ``device``.

    int_infer is converted from the QAT checkpoint: its own holds a program without modules.

    Raises:
        InputError: no checkpoint (says which command makes it), one that does not fit, or a float
            model that computes something else once it is fused.
    """
    section = "infer_cfg" if "infer_cfg" in config else "onnx_cfg"
    model, path = trained_model(config, section, "qat" if stage == "int_infer" else stage, ckpt)
    if stage == "float" and isinstance(model, NetworkTask):
        model.prepare(quantisable)
    elif stage == "float":
        if not hasattr(model, "fuse_model"):
            raise InputError(
                f"{section}.model: {type(model).__name__} has no fuse_model(), which gives float "
                "layers the names of the quantised ones; define it as PwcnetTask does"
            )
        if hasattr(model, "example_input"):
            check_fusing(model, model.example_input())  # type: ignore[operator]
        model.fuse_model()  # type: ignore[operator]
    model = model.to(device)
    return Stage(stage, convert(model) if stage == "int_infer" else model, model, path)


def image_pairs(
    config: Config, model_inputs: Sequence[str] | None, number: int, device: torch.device
) -> list[dict[str, Any]]:
    """Batches of one sample, as the network takes them, with ``gt_flow`` where it is known.

    Args:
        model_inputs: image pairs as ``infer`` takes them; None: the first ``number`` samples of
            the config's ``val_data_loader``.

    Raises:
        InputError: an image or data set that cannot be read, or is empty.
    """
    if model_inputs:
        return [_given_pair(config, text, device) for text in model_inputs]
    processor = build_from_registry(config.section("val_batch_processor"), "val_batch_processor")
    pairs: list[dict[str, Any]] = []
    for batch in batches(validation_loader(config, batch_size=1)):
        if len(pairs) == number:
            break
        pairs.append(processor.prepare(batch, device))
    if not pairs:
        raise InputError("val_data_loader: its data set is empty; expected at least one sample")
    return pairs


def _given_pair(config: Config, text: str, device: torch.device) -> dict[str, Any]:
    required = ("process_inputs", "transforms")
    others = ("model", "process_outputs", "viz_func", "infer_inputs")
    settings = read_section(config, "infer_cfg", required, others)
    inputs = parse_model_inputs(text)
    batch = settings["process_inputs"](inputs)
    if "gt" in inputs:
        height, width = batch["img"].shape[-2:]
        flow, valid = read_truth(inputs["gt"], (height, width))
        batch["gt_flow"] = torch.from_numpy(flow).permute(2, 0, 1)[None]
        batch["gt_valid"] = torch.from_numpy(valid)[None, None]
    batch = to_device(batch, device)
    for transform in build_from_registry(settings["transforms"], "infer_cfg.transforms"):
        batch = transform(batch)
    return batch
