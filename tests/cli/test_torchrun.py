from __future__ import annotations

import os
import subprocess
import sys

from hat.engine.checkpoint import load_checkpoint
from tests.conftest import ROOT


def test_training_under_torchrun(tiny_config, tmp_path):
    script = str(ROOT / "tools/train.py")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", script, "--stage", "float", "--config", str(tiny_config)),
            *("--opts", "float_trainer.num_steps", "2", "float_trainer.sync_bn", "True"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    content = load_checkpoint(tmp_path / "ckpt" / "float-checkpoint-last.pth.tar")
    assert content["step"] == 2
    assert content["resume"]["world_size"] == 2
    assert done.stderr.count("Finished:") == 1
