"""What is read in another way in the sections of a config, beyond the names of types and arguments.

A step takes the sections and returns them changed, and notes down what it did.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from operator import is_
from typing import Any

from hat.migration.metric_scale import ScaledUpdate, factors
from hat.migration.notes import Kind
from hat.migration.pair_inputs import PairInputs, takes_flow_and_batch, takes_transforms
from hat.migration.table import HBIR_MODELS, KEYS, SETTINGS

Sections = dict[str, Any]
NoteDown = Callable[[Kind, str, str], None]


def _settings(sections: Sections, note: NoteDown) -> Sections:
    """Variables that stand for themselves."""
    for name, text in SETTINGS.items():
        if name in sections:
            note(Kind.IGNORED, name, text)
    return sections


def _pipelines(sections: Sections, note: NoteDown) -> Sections:
    """Integer models come from the int_infer checkpoint."""
    found = dict(sections)
    for name, section in sections.items():
        if type(section) is not dict:
            continue
        new = dict(section)
        model = section.get("model")
        if isinstance(model, dict) and model.get("type") in HBIR_MODELS:
            text = f"{model['type']}: the integer program of the int_infer checkpoint runs instead"
            note(Kind.RENAMED, f"{name}.model", text)
            if "type" in section:
                del new["model"]
                new["model_convert_pipeline"] = _load_integer(_own_integer_model(sections))
            else:
                new["model"] = sections.get("deploy_model", sections.get("model"))
        elif isinstance(section.get("model_convert_pipeline"), dict):
            pipeline = section["model_convert_pipeline"]
            path = _loaded_after_conversion(pipeline)
            if path is not None:
                new["model_convert_pipeline"] = _load_integer(path)
                text = "an int_infer checkpoint holds the whole program: LoadIntegerModel reads it"
                note(Kind.RENAMED, f"{name}.model_convert_pipeline", text)
        if new != section:
            found[name] = new
    return found


def _seed(sections: Sections, note: NoteDown) -> Sections:
    """A seed of None, as a variable and as an argument."""

    def change(config: dict[str, Any], path: str) -> dict[str, Any]:
        unset = "type" in config and "seed" in config and config["seed"] is None
        return {k: v for k, v in config.items() if k != "seed"} if unset else config

    if "seed" not in sections or sections["seed"] is not None:
        return sections
    note(Kind.IGNORED, "seed", "None is 0 here: every run can be repeated")
    return _each_dict({**sections, "seed": 0}, change)


def _align(sections: Sections, note: NoteDown) -> Sections:
    """A predictor that names no integer model takes that of the int_infer checkpoint."""
    section = sections.get("align_bpu_predictor")
    if type(section) is not dict or section.get("model_convert_pipeline") is not None:
        return sections
    new = {key: item for key, item in section.items() if key != "model"}
    new["model_convert_pipeline"] = _load_integer(_own_integer_model(sections))
    text = "the int_infer checkpoint gives the integer model"
    note(Kind.RENAMED, "align_bpu_predictor", text)
    return {**sections, "align_bpu_predictor": new}


def _own_integer_model(sections: Sections) -> str:
    return f"{sections.get('ckpt_dir', '.')}/int_infer-checkpoint-best.pth.tar"


def _load_integer(path: Any) -> dict[str, Any]:
    loader = {"type": "LoadIntegerModel", "checkpoint_path": path}
    return {"type": "ModelConvertPipeline", "converters": [loader]}


def _loaded_after_conversion(pipeline: Mapping[str, Any]) -> Any:
    """The checkpoint that a pipeline loads into the model that QAT2Quantize has made."""
    kinds = [c.get("type") for c in pipeline.get("converters", ()) if isinstance(c, Mapping)]
    if "QAT2Quantize" not in kinds or kinds[-1] != "LoadCheckpoint":
        return None
    return pipeline["converters"][-1].get("checkpoint_path")


def _metric_functions(sections: Sections, note: NoteDown) -> Sections:
    """Functions that multiply the flow get it divided by the same number."""
    scaled: dict[int, Any] = {}

    def change(config: dict[str, Any], path: str) -> dict[str, Any]:
        function = config.get("metric_update_func")
        if not callable(function) or isinstance(function, ScaledUpdate):
            return config
        if id(function) not in scaled:
            scaled[id(function)] = _scaled(function, f"{path}.metric_update_func", note)
        new = scaled[id(function)]
        return config if new is function else {**config, "metric_update_func": new}

    return _each_dict(sections, change)


def _scaled(function: Callable[..., Any], where: str, note: NoteDown) -> Any:
    found = factors(function)
    if found is None or found == (1.0, 1.0):
        return function
    flow, truth = found
    what = " and ".join(
        f"the {name} by {factor:g}"
        for name, factor in (("network's flow", flow), ("true flow", truth))
        if factor != 1.0
    )
    name = getattr(function, "__name__", "the function")
    note(
        Kind.CHANGED,
        where,
        f"{name} multiplies {what}; here both are in pixels of the full-resolution image already, "
        "and the metrics would be wrong. It gets them divided by that, and the metrics are in "
        "pixels",
    )
    return ScaledUpdate(function, flow, truth)


def _infer_functions(sections: Sections, note: NoteDown) -> Sections:
    """``process_inputs(inputs, transforms)`` and ``process_outputs(outputs, viz_func, inputs)``."""
    settings = sections.get("infer_cfg")
    if type(settings) is not dict:
        return sections
    new = dict(settings)
    function = settings.get("process_inputs")
    if callable(function) and takes_transforms(function):
        new["process_inputs"] = PairInputs(function, _reads_rgb(settings.get("transforms")))
        text = "reads the images; the command applies infer_cfg.transforms, on the device"
        note(Kind.RENAMED, "infer_cfg.process_inputs", text)
    function = settings.get("process_outputs")
    if callable(function) and not takes_flow_and_batch(function):
        inference = importlib.import_module("hat.inference")
        new["process_outputs"] = inference.full_resolution_flow
        text = (
            "is not called: the network's flow is in pixels of the full-resolution image already; "
            "the command enlarges it to the image, draws it and writes the files"
        )
        note(Kind.CHANGED, "infer_cfg.process_outputs", text)
    return {**sections, "infer_cfg": new}


def _reads_rgb(transforms: Any) -> bool:
    """Whether the first colour transform of a list takes images in the order RGB."""
    for item in transforms if isinstance(transforms, list | tuple) else ():
        if isinstance(item, Mapping) and item.get("type") == "BgrToYuv444":
            return bool(item.get("rgb_input", False))
    return True


def _keys(sections: Sections, note: NoteDown) -> Sections:
    """Keys of sections that are no objects."""
    found = dict(sections)
    for name, keys in KEYS.items():
        section = sections.get(name)
        if type(section) is dict:
            for key in keys.keys() & section.keys():
                note(Kind.IGNORED, f"{name}.{key}", f"left out: {keys[key]}")
            found[name] = {key: item for key, item in section.items() if key not in keys}
    return found


def _onnx(sections: Sections, note: NoteDown) -> Sections:
    """``onnx_cfg.out_dir``, where the section is there without it."""
    section = sections.get("onnx_cfg")
    if type(section) is not dict or "out_dir" in section:
        return sections
    note(Kind.ADDED, "onnx_cfg.out_dir", "ckpt_dir")
    return {**sections, "onnx_cfg": {**section, "out_dir": sections.get("ckpt_dir", ".")}}


def _calops(sections: Sections, note: NoteDown) -> Sections:
    """``calops_cfg`` of ``deploy_model`` and ``deploy_inputs``, where the config has none."""
    inputs = sections.get("deploy_inputs")
    given = sections.get("calops_cfg")
    settings = dict(given) if isinstance(given, dict) else {}
    model = sections.get("deploy_model", sections.get("model"))
    shapes = [getattr(v, "shape", None) for v in inputs.values()] if type(inputs) is dict else []
    if settings.keys() >= {"model", "input_shape"} or model is None or len(shapes) != 1:
        return sections
    derived = {"model": model, "input_shape": tuple(shapes[0] or ())}
    note(Kind.ADDED, "calops_cfg", "the model and the size of deploy_inputs")
    return {**sections, "calops_cfg": {**derived, **settings}}


def _each_dict(
    sections: Sections, change: Callable[[dict[str, Any], str], dict[str, Any]]
) -> Sections:
    """``sections`` with ``change`` applied to every dict, from the outside in, each once."""
    done: dict[int, tuple[Any, Any]] = {}

    def walk(value: Any, path: str) -> Any:
        if type(value) not in (dict, list, tuple):
            return value
        if id(value) not in done:
            if isinstance(value, dict):
                new = change(value, path)
                new = {key: walk(item, f"{path}.{key}") for key, item in new.items()}
                same = new.keys() == value.keys() and all(new[key] is value[key] for key in new)
            else:
                new = type(value)(walk(item, f"{path}.{i}") for i, item in enumerate(value))
                same = all(map(is_, new, value))
            done[id(value)] = (value, value if same else new)
        return done[id(value)][1]

    return {name: walk(value, name) for name, value in sections.items()}


ALWAYS = (_pipelines, _infer_functions, _keys)
"""Steps for any config: what they look for works in no other way."""
WHERE_NAMES_DIFFER = (_settings, _seed, _align, _metric_functions, _onnx, _calops)
"""Steps for a config in which something was noted already; another one means what it says."""
