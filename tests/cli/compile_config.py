"""A config of the very small network that compile_perf takes by itself, without checkpoints."""

from __future__ import annotations

from pathlib import Path

from hat.cli.main import run_command
from tests.cli.tiny import write_config

TEXT = """
import torch

deploy_inputs = dict(img=torch.zeros(1, 6, 64, 128))
compile_cfg = dict(march="bayes", name="small", out_dir={out!r}, opt="O1", layer_details=True)
"""
# it has no unit for warps
NO_WARP = "bernoulli2"


def write_compile_config(folder: Path) -> Path:
    """The config file; its results go to ``folder`` / "out"."""
    path = write_config(folder)
    path.write_text(path.read_text() + TEXT.format(out=str(folder / "out")))
    return path


def compile_perf(config: Path, *words: str) -> int:
    return run_command("compile_perf", ["-c", str(config), *words])
