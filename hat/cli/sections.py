"""The sections that a command reads for itself, checked, and the model in one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hat.cli.checkpoints import stage_checkpoint
from hat.config import Config
from hat.engine.checkpoint import PREPARED, check_stage, load_checkpoint, possible_stages
from hat.engine.convert import (
    Float2QAT,
    LoadCheckpoint,
    LoadIntegerModel,
    ModelConvertPipeline,
    freeze_scales,
)
from hat.engine.data_loading import build_eval_loader
from hat.errors import InputError
from hat.registry import build_from_registry, nearest, resolve
from hat.seeding import seed_everything

SECTION_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "calops_cfg": (("model", "input_shape"), ()),
    "infer_cfg": (
        ("model", "process_inputs", "transforms", "process_outputs", "viz_func"),
        ("infer_inputs",),
    ),
    "onnx_cfg": (("model", "out_dir"), ("opset_version",)),
}
"""Keys that sections need, and keys that they may have."""


def read_section(
    config: Config,
    name: str,
    required: Sequence[str] | None = None,
    optional: Sequence[str] = (),
) -> Mapping[str, Any]:
    """The dict ``name`` of a config.

    Args:
        required, optional: its keys; those of SECTION_KEYS if ``required`` is not given.

    Raises:
        InputError: no such section, no dict, a key missing, or a key that nothing reads.
    """
    if required is None:
        required, optional = SECTION_KEYS[name]
    section = config.section(name)
    if not isinstance(section, Mapping):
        raise InputError(f"{config.path}: {name}: expected a dict, found {type(section).__name__}")
    known = [*required, *optional]
    for key in section:
        if key not in known:
            raise InputError(
                f"{config.path}: {name}.{key}: unknown key{nearest(str(key), known)}; "
                f"{name} takes: {', '.join(known)}"
            )
    for key in required:
        if key not in section:
            raise InputError(
                f"{config.path}: {name} has no {key!r}; it needs: {', '.join(required)}"
            )
    return section


def build_model(config: Config, name: str) -> nn.Module:
    """The model that ``{name}.model`` describes, with seeded random weights, in evaluation mode."""
    seed_everything(config.get("seed", 0))
    model: nn.Module = build_from_registry(config.section(name)["model"], f"{name}.model")
    return model.eval()


def trained_model(
    config: Config, name: str, stage: str, ckpt: str | Path | None = None
) -> tuple[nn.Module, Path]:
    """The model of ``stage`` in evaluation mode, and the file that it comes from.

    For int_infer that is the integer model in the file; the config's model is not built.

    Raises:
        InputError: no checkpoint (says which command makes it), one of another stage, or one that
            does not fit.
    """
    path = stage_checkpoint(config, stage, ckpt)
    if stage == "int_infer":
        return LoadIntegerModel(path)().eval(), path
    converters: list[Any] = [LoadCheckpoint(path, stage=stage)]
    if stage in PREPARED:
        converters.insert(0, Float2QAT(qat_mode(config, stage)))
    model = ModelConvertPipeline(converters)(build_model(config, name))
    return freeze_scales(model).eval(), path


def validation_loader(config: Config, **changes: Any) -> Any:
    """The config's ``val_data_loader`` with ``changes``, read in this process."""
    section = {**config.section("val_data_loader"), "num_workers": 0, **changes}
    return build_eval_loader(resolve(section, "val_data_loader"))


def qat_mode(config: Config, stage: str) -> str:
    """How the trainer of ``stage`` prepares the model, see ModelConvertPipeline."""
    pipeline = config.get(f"{stage}_trainer", {}).get("model_convert_pipeline") or {}
    return str(pipeline.get("qat_mode", "fuse_bn"))


def stage_of_file(ckpt: str | Path, stage: str | None) -> str:
    """The stage of the checkpoint ``ckpt``; InputError if ``stage`` is given and another."""
    content = load_checkpoint(ckpt)
    if stage is None:
        return possible_stages(content)[0]
    check_stage(content, ckpt, [stage])
    return stage
