from __future__ import annotations

import numpy as np
import pytest

from hat.cli.main import run_command
from hat.errors import InputError
from hat.registry import build_from_registry
from hat.seeding import check_seed, seed_everything


@pytest.mark.parametrize("seed", [None, -1, 2**32, 1.5, "7", True])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError, match=r"^seed is .*; expected a whole number from 0 to 429"):
        seed_everything(seed)
    config = {"type": "FlyingChairs", "data_path": "x", "seed": seed}
    with pytest.raises(InputError, match=r"^x: seed is .*expected a whole number"):
        build_from_registry(config, "x")


def test_numbers_of_numpy_are_seeds():
    assert check_seed(np.int64(5)) == 5
    seed_everything(np.uint32(2**32 - 1))


def test_a_config_without_a_seed_is_told_so_before_anything_is_made(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.py"
    path.write_text(
        "seed = None\nckpt_dir = 'made'\n"
        "float_trainer = dict(type='distributed_data_parallel_trainer')\n"
    )
    assert run_command("train", ["--stage", "float", "--config", str(path)]) == 2
    assert "error: seed is None; expected a whole number" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
