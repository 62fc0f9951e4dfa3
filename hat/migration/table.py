"""Every name that the original tool kit's configs spell differently, and what becomes of it.

The rules are data; :mod:`hat.migration.translate` and :mod:`hat.migration.modules` apply them. A
name that stands in no rule means the same thing in both tool kits or is reported as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hat.migration.notes import Kind


@dataclass(frozen=True)
class ModuleRule:
    """A module that configs import.

    Attributes:
        names: where each of its names is here, as ``module:name``.
        like: the module here that gives all other names; "" for none.
        unless_installed: only where Python finds no module of that name.
        text: for the report.
    """

    text: str
    names: Mapping[str, str] = field(default_factory=dict)
    like: str = ""
    unless_installed: bool = False


MODULES = {
    "horizon_plugin_pytorch": ModuleRule("the package horizon here", like="horizon"),
    "horizon_plugin_pytorch.march": ModuleRule(
        "March has the names of the machine descriptions; compile_cfg.march chooses one",
        {
            "March": "hat.migration.values:March",
            "set_march": "hat.migration.values:set_march",
        },
    ),
    "horizon_plugin_pytorch.quantization": ModuleRule(
        "the package horizon.quantization here", like="horizon.quantization"
    ),
    "hat.utils.config": ModuleRule(
        "all versions of the layout are read alike",
        {"ConfigVersion": "hat.migration.values:ConfigVersion"},
    ),
    "skimage": ModuleRule(
        "scikit-image is not installed; imread is hat.data.image_io.read_image",
        {"imread": "hat.data.image_io:read_image"},
        unless_installed=True,
    ),
    "skimage.io": ModuleRule(
        "scikit-image is not installed; imread is hat.data.image_io.read_image",
        {"imread": "hat.data.image_io:read_image"},
        unless_installed=True,
    ),
}


@dataclass(frozen=True)
class TypeRule:
    """A ``type`` of a config. The first rule that fits a dict is the one that holds.

    Attributes:
        name: the type as it is written.
        ours: its name here; None leaves the object out of the list that it stands in.
        text: for the report.
        having: fits only a dict with one of these arguments; empty fits any.
        without: fits only a dict in which all of these are missing or None.
        section: fits only the section of that name.
        renamed: arguments by the names that they have here.
        dropped: arguments without a counterpart.
    """

    name: str
    ours: str | None
    text: str
    having: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    section: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    def fits(self, config: Mapping[str, Any], path: str) -> bool:
        return (
            config.get("type") == self.name
            and (not self.having or any(key in config for key in self.having))
            and all(config.get(key) is None for key in self.without)
            and self.section in ("", path)
        )


_NOT_TRAINED = (
    "data_loader",
    "optimizer",
    "batch_processor",
    "stop_by",
    "num_epochs",
    "num_steps",
    "sync_bn",
    "train_metrics",
)
_NO_TRAINING = "this stage converts the model and trains nothing"

TYPES = (
    TypeRule(
        "PwcNet",
        "PwcnetTask",
        "the task, by its arguments; PwcNet is the backbone here",
        having=("backbone", "neck", "head", "loss", "loss_weights"),
        renamed={"neck": "backbone"},
    ),
    TypeRule("PwcNetNeck", "PwcNet", "the backbone"),
    TypeRule("PwcNetHead", "PwcnetHead", "the head"),
    *(
        TypeRule(
            name,
            "IntInferTrainer",
            _NO_TRAINING,
            without=("optimizer",),
            section=section,
            dropped=_NOT_TRAINED,
        )
        for name in ("Trainer", "distributed_data_parallel_trainer")
        for section in ("int_infer_trainer", "int_trainer")
    ),
    TypeRule("Trainer", "distributed_data_parallel_trainer", "the same trainer for any number"),
    TypeRule(
        "Predictor",
        "BoardPredictor",
        "runs the compiled program beside the integer model",
        section="align_bpu_predictor",
        dropped=("callbacks", "log_interval", "num_epochs"),
    ),
    TypeRule("TensorBoard", None, "train.py writes TensorBoard's files in every run"),
    TypeRule("SaveTraced", None, "the int_infer checkpoint holds the integer program"),
)

HBIR_MODELS = ("PwcNetHbirInfer",)
"""Models that are a file of the original tool kit's compiler; the int_infer checkpoint is ours."""


@dataclass(frozen=True)
class ArgumentRule:
    """An argument that is left out.

    Attributes:
        types: of the objects, by their names here.
        name: of the argument.
        text: what happens without it.
        values: only where the value is one of these; empty for any.
        kind: how much it matters.
    """

    types: tuple[str, ...]
    name: str
    text: str
    values: tuple[Any, ...] = ()
    kind: Kind = Kind.IGNORED

    def fits(self, kind: str, name: str, value: Any) -> bool:
        return (
            name == self.name
            and kind in self.types
            and (not self.values or any(value is one for one in self.values))
        )


_CONVERTERS = ("Float2Calibration", "Float2QAT", "QAT2Quantize")
_OWN_EXAMPLE = "the model's own example_input() is recorded"

ARGUMENTS = (
    ArgumentRule(
        _CONVERTERS, "convert_mode", "layers are replaced module by module, which needs no tracing"
    ),
    ArgumentRule(_CONVERTERS, "example_inputs", _OWN_EXAMPLE),
    ArgumentRule(_CONVERTERS, "example_data_loader", _OWN_EXAMPLE),
    ArgumentRule(
        _CONVERTERS,
        "qconfig_setter",
        "the types of the layers are those of model.set_qconfig(); model.qconfig changes them",
        kind=Kind.CHANGED,
    ),
    ArgumentRule(("Scale",), "mul_scale", "the true flow keeps its values at all levels", (False,)),
    ArgumentRule(
        ("Scale",),
        "mul_scale",
        "the true flow is not multiplied by the scales: loss and metrics take it at every level in "
        "pixels of the full-resolution image, and smaller values would train a network whose flow "
        "is too short",
        (True,),
        Kind.CHANGED,
    ),
    ArgumentRule(
        ("Validation",), "val_model", "the trained model is evaluated, without its training parts"
    ),
    ArgumentRule(("Checkpoint",), "mode", "the smaller value is the better one", (None,)),
    ArgumentRule(("Predictor",), "num_epochs", "every data set is evaluated once"),
)

LISTS = ("train_metrics", "val_metrics", "metrics")
"""Arguments that may be one object in the place of a list."""

SETTINGS = {
    "cudnn_benchmark": "the fastest algorithms are not searched for, so that runs can be repeated",
    "device_ids": "--device-ids chooses the devices",
    "log_rank_zero_only": "the first process logs, always",
}
"""Variables that nothing reads; those that a config uses for itself are not mentioned."""

_BY_CHECKPOINT = "the command loads the checkpoint of its --stage"

KEYS = {
    "calops_cfg": {
        "inputs": "input_shape says the same",
        "method": "every layer that runs is counted",
    },
    "infer_cfg": {"model_convert_pipeline": _BY_CHECKPOINT},
    "onnx_cfg": {
        "inputs": "--size chooses the size, the model its inputs",
        "model_convert_pipeline": _BY_CHECKPOINT,
        "stage": "--stage chooses the stage",
    },
}
"""Keys without a counterpart in the sections that are no objects."""
