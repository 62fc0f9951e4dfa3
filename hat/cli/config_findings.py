"""What is wrong, missing or read in another way in a config, found without running anything."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import horizon.march
from hat.cli.compile_settings import (
    OPTIONAL,
    REQUIRED,
    input_type,
    layer_details,
    machine_names,
    opt_level,
    program_name,
)
from hat.cli.sections import SECTION_KEYS, read_section
from hat.config import Config
from hat.engine.callbacks import Checkpoint
from hat.engine.checkpoint import STAGES, stage_in_name
from hat.errors import InputError
from hat.migration.metric_scale import ScaledUpdate, factors, is_unclear
from hat.paths import also_tried, tried_paths
from hat.registry import build_from_registry, check_arguments, check_known, join_path, resolve_type
from hat.seeding import check_seed

ERROR, WARNING, ABSENT, PATH, CHECKPOINT = "error", "warning", "absent", "path", "checkpoint"
MODELS = ("model", "deploy_model")
BUILT = (*MODELS, "batch_processor", "val_batch_processor")
"""Sections whose objects read no files: they are built, so that values are checked as well."""
USED_BY = {
    **{f"{stage}_trainer": f"hat train --stage {stage}" for stage in STAGES},
    **{f"{stage}_predictor": f"hat predict --stage {stage}" for stage in STAGES},
    "align_bpu_predictor": "hat align-bpu-validation",
    "calops_cfg": "hat calops",
    "compile_cfg": "hat compile-perf",
    "deploy_inputs": "hat compile-perf",
    "infer_cfg": "hat infer",
    "onnx_cfg": "hat export-onnx",
    "ckpt_dir": "every stage",
}
SUPPLIED = ("sampler", "batch_sampler", "optimizer")
"""Arguments whose objects get more than the config gives them."""
INPUT = re.compile(r"(data|checkpoint|ann|split)_(path|dir|file)|root|roots")
"""Arguments that name what is read."""


@dataclass(frozen=True)
class Finding:
    """``kind`` is ERROR, WARNING, ABSENT, PATH or CHECKPOINT; ``text`` begins with the place."""

    kind: str
    text: str


def findings(config: Config) -> list[Finding]:
    """Everything that can be said before a command runs, each once."""
    walk = _Walk(Path(str(config.get("ckpt_dir", "."))))
    for name in (*MODELS, *USED_BY, *(key for key in config if key.endswith("_processor"))):
        if name in config:
            walk.value(config[name], name)
        elif name in USED_BY and not (name == "int_infer_trainer" and "int_trainer" in config):
            walk.add(
                ABSENT, f"no section {name}: '{USED_BY[name]}' needs it{_misspelt(name, config)}"
            )
    if not any(name in config for name in (*MODELS, *USED_BY)):
        walk.add(ERROR, "no section that a command reads; expected a model and a trainer at least")
    if not walk.has(ERROR):  # else the same mistakes would be found once more
        for name in BUILT:
            if name in config:
                walk.attempt(partial(build_from_registry, config[name], name))
    walk.attempt(partial(_seed, config))
    walk.attempt(partial(_compile, config))
    if not walk.has(ERROR):
        for stage in STAGES:
            walk.attempt(partial(_best_metric, config, f"{stage}_trainer"))
    for check in _sections(config):
        walk.attempt(check)
    for key, path in _paths(config):
        walk.path(key, path)
    return walk.found


def _misspelt(name: str, config: Config) -> str:
    """The section that may have been meant to be ``name``, for a message."""
    others = [key for key in config if key not in (*MODELS, *USED_BY)]
    found = difflib.get_close_matches(name, others, n=1, cutoff=0.85)
    return f"; is {found[0]} meant to be it?" if found else ""


class _Walk:
    """Visits typed dicts, each once, and goes on after a mistake."""

    def __init__(self, ckpt_dir: Path) -> None:
        self._ckpt_dir = ckpt_dir.resolve()
        self.found: list[Finding] = []
        self._seen: set[int] = set()
        self._paths: set[str] = set()

    def add(self, kind: str, text: str) -> None:
        if Finding(kind, text) not in self.found:
            self.found.append(Finding(kind, text))

    def has(self, kind: str) -> bool:
        return any(finding.kind == kind for finding in self.found)

    def attempt(self, action: Callable[[], Any]) -> Any:
        """The result of ``action``; None and a finding if it meets a mistake."""
        try:
            return action()
        except InputError as error:
            self.add(ERROR, str(error))
            return None

    def value(self, value: Any, path: str, supplied: bool = False) -> None:
        if isinstance(value, Mapping):
            if id(value) in self._seen:
                return
            self._seen.add(id(value))
            if "type" in value:
                self._typed(value, path, supplied)
            for key, item in value.items():
                self.value(item, join_path(path, key), key in SUPPLIED)
                if isinstance(key, str) and INPUT.fullmatch(key):
                    for one in item if isinstance(item, list | tuple) else [item]:
                        self.path(join_path(path, key), one)
        elif isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            for index, item in enumerate(value):
                self.value(item, join_path(path, index))

    def _typed(self, value: Mapping[str, Any], path: str, supplied: bool) -> None:
        target = self.attempt(lambda: resolve_type(value, path))
        if target is not None:
            arguments = {key: item for key, item in value.items() if key != "type"}
            check = check_known if supplied else check_arguments
            self.attempt(lambda: check(target, arguments, path))
            self._metrics(arguments.get("metric_update_func"), path)

    def _metrics(self, function: Any, path: str) -> None:
        """Note a function that changes the flow's unit before it reaches the metrics."""
        if not callable(function) or isinstance(function, ScaledUpdate):
            return
        found = factors(function)
        name = getattr(function, "__name__", function)
        if found is None and is_unclear(function):
            self.add(
                WARNING,
                f"{path}.metric_update_func: what {name} hands to the metrics could not be tried; "
                "make sure that it multiplies no flow: the network's and the true one are in "
                "pixels of the full-resolution image",
            )
        if found is not None and found[0] != found[1]:
            self.add(
                WARNING,
                f"{path}.metric_update_func: {name} multiplies the network's flow by {found[0]:g} "
                f"and the true flow by {found[1]:g}; both are in pixels of the full-resolution "
                "image already, so the error is not in pixels",
            )

    def path(self, key: str, path: Any) -> None:
        """Note the input ``path`` if it is nowhere, once."""
        if not isinstance(path, str | Path) or str(path) in self._paths:
            return
        self._paths.add(str(path))
        made_here = Path(path).parent.resolve() == self._ckpt_dir
        if any(place.exists() for place in ([Path(path)] if made_here else tried_paths(path))):
            return
        stage = stage_in_name(path)
        if stage is not None and made_here:
            self.add(CHECKPOINT, f"{path}: 'hat train --stage {stage}' makes it")
        else:
            self.add(PATH, f"{key}: {path} does not exist{also_tried(path)}")


def _seed(config: Config) -> None:
    check_seed(config.get("seed", 0))


def _best_metric(config: Config, section: str) -> None:
    """Whether the metrics of a stage have the one that chooses its best checkpoint."""
    trainer = config.get(section)
    if not isinstance(trainer, Mapping):
        return
    checkpoints = [
        build_from_registry(callback, f"{section}.callbacks[{index}]")
        for index, callback in enumerate(trainer.get("callbacks") or ())
        if isinstance(callback, Mapping) and resolve_type(callback, section) is Checkpoint
    ]
    try:
        metrics = build_from_registry(trainer.get("val_metrics"), f"{section}.val_metrics") or ()
    except InputError:  # none, in a config that is not for training
        return
    for checkpoint in checkpoints:
        checkpoint.check_names(metrics)


def _sections(config: Config) -> Iterator[Callable[[], Any]]:
    for name in SECTION_KEYS:
        if name in config:
            yield partial(read_section, config, name)


def _compile(config: Config) -> None:
    if "compile_cfg" not in config:
        return
    settings = read_section(config, "compile_cfg", REQUIRED, OPTIONAL)
    for check in (program_name, opt_level, layer_details, input_type):
        check(config, settings)
    for name in machine_names(config, settings):
        horizon.march.load(name)


def _paths(config: Config) -> Iterator[tuple[str, Any]]:
    """Inputs that stand in no typed dict."""
    if config.get("shipped_ckpt_dir") is not None:
        yield "shipped_ckpt_dir", config["shipped_ckpt_dir"]
    settings = config.get("infer_cfg")
    inputs = settings.get("infer_inputs") if isinstance(settings, Mapping) else None
    if isinstance(inputs, Mapping):
        for key, path in inputs.items():
            yield f"infer_cfg.infer_inputs.{key}", path
