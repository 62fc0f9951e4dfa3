"""The network that is compiled, a checkpoint's or the config's with random weights, as program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import horizon.hbm
from hat.cli.checkpoints import stage_checkpoint
from hat.cli.compile_settings import (
    OPTIONAL,
    REQUIRED,
    input_type,
    machine_names,
    opt_level,
    program_name,
)
from hat.cli.sections import read_section
from hat.config import Config
from hat.deploy.build import DEFAULT_MARCH, compile_model
from hat.deploy.random_program import (
    SECTIONS,
    build_network,
    random_program,
    unquantised_layers,
)
from hat.deploy.structure import first_difference
from hat.engine.convert import LoadIntegerModel, how_to_make
from hat.errors import InputError
from horizon.quantization import IntegerModel


@dataclass(frozen=True)
class Network:
    """An integer model and where its weights come from.

    Attributes:
        checkpoint: the file; None if the weights are random.
        reason: why they are random, a sentence without its full stop.
        unchecked: why it is not known whether the checkpoint holds the config's network.
    """

    model: IntegerModel
    checkpoint: Path | None
    reason: str = ""
    unchecked: str = ""

    @property
    def weights(self) -> str:
        return "random" if self.checkpoint is None else str(self.checkpoint)

    @property
    def warning(self) -> str:
        """That the weights are random, or may be another network's, and what that means."""
        if self.checkpoint is not None:
            return self.unchecked and f"WARNING: {self.unchecked}"
        return (
            f"RANDOM WEIGHTS: {self.reason}. Times, bytes and memory are those of the trained "
            "network; what this program computes means nothing."
        )


def load_network(config: Config, ckpt: str | None) -> Network:
    """The int_infer model of ``ckpt``; else of the best checkpoint, if it is the config's network.

    Without a checkpoint, and where the config, by ``--opts`` for instance, describes another
    network than the checkpoint holds, the config's network gets random weights. If random weights
    cannot be made for the comparison, the checkpoint is taken, with a warning.

    Raises:
        InputError: ``ckpt`` does not exist, a checkpoint is of another stage or damaged, or the
            config has no network that can be quantised.
    """
    if ckpt is not None:
        return Network(LoadIntegerModel(ckpt)(), Path(ckpt))
    path = stage_checkpoint(config, "int_infer") if "ckpt_dir" in config else None
    if path is None:
        return Network(random_program(config), None, f"{config.path} names no ckpt_dir")
    if not path.exists():
        reason = f"there is no {path}; {how_to_make(path)}"
        return Network(random_program(config), None, reason)
    saved = LoadIntegerModel(path)()
    if not any(name in config for name in SECTIONS):
        return Network(saved, path)
    try:
        described = random_program(config)
    except InputError as error:
        if unquantised_layers(build_network(config)):
            raise
        return Network(
            saved,
            path,
            unchecked=f"{path} is compiled; whether it holds the network that {config.path} "
            f"describes could not be checked: {error}",
        )
    difference = first_difference(saved.graph, described.graph)
    if difference is None:
        return Network(saved, path)
    return Network(
        described,
        None,
        f"{path} holds another network than {config.path} describes ({difference}); name a "
        "checkpoint with --ckpt to compile what it holds",
    )


def program_of_size(
    config: Config, model: IntegerModel, size: tuple[int, int], march: str | None
) -> tuple[bytes, str]:
    """The program for images of ``size`` (H, W), and what it is called in messages.

    Args:
        march: the machine; None takes the first of ``compile_cfg``, which says the rest.
    """
    settings: Mapping[str, Any] = {}
    if "compile_cfg" in config:
        settings = read_section(config, "compile_cfg", REQUIRED, OPTIONAL)
    machine = march or (machine_names(config, settings)[0] if settings else DEFAULT_MARCH)
    program = compile_model(
        model,
        size,
        name=program_name(config, settings) if settings else None,
        march=machine,
        opt=opt_level(config, settings),
        input_type=input_type(config, settings),
    ).program
    return horizon.hbm.to_bytes(program), f"compiled for {program.march}"
