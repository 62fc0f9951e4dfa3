"""From the built model to the model of a stage: load weights, prepare, convert.

A pipeline of converters leads from the config's float model to each stage::

    calibration  LoadCheckpoint(float), Float2Calibration
    qat          Float2QAT, LoadCheckpoint(calibration)
    int_infer    Float2QAT, LoadCheckpoint(qat), QAT2Quantize    or    LoadIntegerModel(int_infer)
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

import horizon.quantization
from hat.engine.checkpoint import (
    PREPARED,
    check_stage,
    is_prepared,
    load_checkpoint,
    load_weights,
    stage_in_name,
)
from hat.errors import InputError
from hat.models.tasks import NetworkTask
from hat.registry import OBJECT_REGISTRY
from horizon.hbir import Graph
from horizon.quantization import (
    FakeQuantState,
    IntegerModel,
    check_same_output,
    set_fake_quantize,
)

logger = logging.getLogger(__name__)

QAT_MODES = ("fuse_bn", "with_bn")


@OBJECT_REGISTRY.register
class LoadCheckpoint:
    """Loads weights into the model.

    Args:
        checkpoint_path: the file.
        allow_miss: entries of the model that the file lacks keep their values.
        ignore_extra: entries of the file that the model lacks are left out.
        stage: the stage that the file must come from; None takes what fits the model.

    ``content`` is the checkpoint after the call (None before it); a trainer that resumes takes the
    optimizer's state and the counters from it.
    """

    def __init__(
        self,
        checkpoint_path: str | Path,
        allow_miss: bool = False,
        ignore_extra: bool = False,
        stage: str | None = None,
    ) -> None:
        self.checkpoint_path = checkpoint_path
        self.allow_miss = allow_miss
        self.ignore_extra = ignore_extra
        self.stage = stage
        self.content: dict[str, Any] | None = None

    def __call__(self, model: nn.Module) -> nn.Module:
        content = load_checkpoint(self.checkpoint_path, how_to_make(self.checkpoint_path))
        fitting = PREPARED if is_prepared(model.state_dict()) else ("float",)
        check_stage(content, self.checkpoint_path, fitting if self.stage is None else [self.stage])
        load_weights(
            model,
            content["state_dict"],
            str(self.checkpoint_path),
            self.allow_miss,
            self.ignore_extra,
        )
        self.content = content
        return model


class _Prepare:
    """Puts quantised layers in the place of the model's layers.

    The network of a :class:`~hat.models.tasks.NetworkTask` is traced, fused and given a qconfig by
    ``horizon.quantization``; any other model does this by its ``fuse_model`` and ``set_qconfig``.

    Args:
        qat_mode: "fuse_bn": batch normalisation is folded into the weights; "with_bn": it goes on
            normalising inside of the fused layer until the trainer's ``freeze_bn_step``. None
            takes the mode of the pipeline.

    Raises:
        InputError: a model without ``fuse_model`` and ``set_qconfig``, a layer that has no
            quantised form, or one that computes something else once it is fused or prepared
            (tried on noise where the model has an ``example_input``).
    """

    prepare: Callable[..., nn.Module]

    def __init__(self, qat_mode: str | None = None) -> None:
        check_qat_mode(qat_mode or "fuse_bn")
        self.qat_mode = qat_mode

    def __call__(self, model: nn.Module) -> nn.Module:
        if isinstance(model, NetworkTask):
            if self.qat_mode == "with_bn":
                raise InputError(
                    "qat_mode 'with_bn': batch normalisation of a NetworkTask is folded; use "
                    "'fuse_bn'"
                )
            return model.prepare(type(self).prepare)
        for name in ("fuse_model", "set_qconfig"):
            if not hasattr(model, name):
                raise InputError(
                    f"model: {type(model).__name__} has no {name}(), which {type(self).__name__} "
                    "calls; define it as PwcnetTask does"
                )
        if hasattr(model, "example_input"):
            self._check_output(model)
        shared = _shared_weights(model)
        _fuse(model, self.qat_mode)
        _tell_untied(shared, model)
        model.set_qconfig()  # type: ignore[operator]
        return type(self).prepare(model, inplace=True)

    def _check_output(self, model: Any) -> None:
        """Try on a copy whether fusing and preparing keep what the network computes.

        In float64, fusing included, so that no rounding hides a mistake.
        """
        trial = copy.deepcopy(model).double()
        _fuse(trial, self.qat_mode)
        trial.set_qconfig()
        example = model.example_input()
        wide = tree_map(_widened, example)
        horizon.quantization.prepare_calibration(trial, wide, inplace=True, quiet=True)
        check_same_output(model, trial, example, "fusing and preparing")


def _widened(x: Any) -> Any:
    """A floating-point tensor in float64; anything else as it is."""
    return x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x


def _fuse(model: Any, qat_mode: str | None) -> None:
    if qat_mode == "with_bn":
        model.fuse_model(fold_bn=False)
    else:
        model.fuse_model()


def _shared_weights(model: nn.Module) -> dict[int, list[str]]:
    """Names of the weights of convolutions that stand in several places, by their identity."""
    places: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.dim() == 4:
            places.setdefault(id(parameter), []).append(name)
    return {key: names for key, names in places.items() if len(names) > 1}


def _tell_untied(shared: dict[int, list[str]], fused: nn.Module) -> None:
    """Say which weights that were one are several in the fused model."""
    now = [id(parameter) for _, parameter in fused.named_parameters(remove_duplicate=False)]
    for key, names in shared.items():
        if now.count(key) < len(names):
            logger.warning(
                "%s share one tensor in the float model; with batch normalisation folded in, each "
                "place has its own, and training with quantisation moves them apart",
                " and ".join(names),
            )


@OBJECT_REGISTRY.register
class Float2Calibration(_Prepare):
    """A float model to one that observes: real numbers pass through and ranges are noted."""

    prepare = staticmethod(horizon.quantization.prepare_calibration)


@OBJECT_REGISTRY.register
class Float2QAT(_Prepare):
    """A float model to one that computes in the fixed-point arithmetic and can be trained."""

    prepare = staticmethod(horizon.quantization.prepare_qat)


@OBJECT_REGISTRY.register
class QAT2Quantize:
    """A calibrated or trained model of quantised layers to its integer program.

    The program is recorded on the model's ``example_input()`` and runs at any size.

    Args:
        name: the program's name.
        input_names, output_names: of its inputs and outputs, in the order in which the network
            reaches their stubs; see :func:`horizon.quantization.trace`. A NetworkTask names them
            itself.

    Raises:
        InputError: a layer without a scale, a ratio that no multiplier represents, or an
            accumulator that could overflow, with the layer's name.
    """

    def __init__(
        self,
        name: str = "model",
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.names = {"input_names": input_names, "output_names": output_names}

    def __call__(self, model: nn.Module) -> IntegerModel:
        if not is_prepared(model.state_dict()):
            raise InputError(
                "QAT2Quantize: the model has no quantised layers; put Float2QAT and "
                "LoadCheckpoint before it in the pipeline's converters"
            )
        converted = horizon.quantization.convert(model)
        names = model.program_names if isinstance(model, NetworkTask) else self.names
        return _of_network(model, horizon.quantization.trace(converted, name=self.name, **names))


def _of_network(model: nn.Module | None, graph: Graph) -> IntegerModel:
    """A program as integer model; that of a NetworkTask gives the outputs of its network."""
    return model.with_program(graph) if isinstance(model, NetworkTask) else IntegerModel(graph)


@OBJECT_REGISTRY.register
class LoadIntegerModel:
    """The integer model in a checkpoint of the stage int_infer.

    Of the pipeline's model only a NetworkTask is used: it says how its network gives its outputs.

    Args:
        checkpoint_path: the file.

    Raises:
        InputError: no such file, one of another stage, or a program that breaks the fixed-point
            contract.
    """

    def __init__(self, checkpoint_path: str | Path) -> None:
        self.checkpoint_path = checkpoint_path

    def __call__(self, model: nn.Module | None = None) -> IntegerModel:
        content = load_checkpoint(self.checkpoint_path, how_to_make(self.checkpoint_path))
        check_stage(content, self.checkpoint_path, ["int_infer"])
        if "program" not in content:
            raise InputError(f"{self.checkpoint_path}: holds no 'program'; it is damaged")
        try:
            graph = horizon.quantization.program_graph(content["program"])
        except InputError as error:
            raise InputError(f"{self.checkpoint_path}: {error}") from error
        return _of_network(model, graph)


@OBJECT_REGISTRY.register
class ModelConvertPipeline:
    """Applies converters to the model, one after the other.

    Args:
        converters: callables from a model to a model.
        qat_mode: "fuse_bn" or "with_bn", for the converters that prepare (see Float2QAT). All
            stages of an experiment need the same one.
    """

    def __init__(
        self,
        converters: Sequence[Callable[[Any], nn.Module]] = (),
        qat_mode: str = "fuse_bn",
    ) -> None:
        check_qat_mode(qat_mode)
        self.converters = list(converters)
        for converter in self.converters:
            if isinstance(converter, _Prepare) and converter.qat_mode is None:
                converter.qat_mode = qat_mode

    def __call__(self, model: nn.Module | None) -> nn.Module:
        for converter in self.converters:
            model = converter(model)
        if model is None:
            raise ValueError("no model: neither the config nor a converter gives one")
        return model

    @property
    def checkpoint(self) -> dict[str, Any] | None:
        """The content of the last checkpoint that a converter loaded."""
        loaded = [c.content for c in self.converters if isinstance(c, LoadCheckpoint)]
        return loaded[-1] if loaded else None


def freeze_scales(model: nn.Module) -> nn.Module:
    """Let a prepared model evaluate with the scales that it has; any other stays as it is."""
    if is_prepared(model.state_dict()):
        set_fake_quantize(model, FakeQuantState.VALIDATION)
    return model


def how_to_make(path: str | Path) -> str:
    """What to do about the missing checkpoint ``path``."""
    stage = stage_in_name(path)
    if stage is None:
        return "check the path"
    return (
        f"make it with 'python3 tools/train.py --stage {stage} --config CONFIG' or name "
        "another file with --ckpt"
    )


def check_qat_mode(mode: str) -> None:
    if mode not in QAT_MODES:
        raise ValueError(f"qat_mode must be 'fuse_bn' or 'with_bn', found {mode!r}")
