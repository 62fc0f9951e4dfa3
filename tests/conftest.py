from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.missing import summary

# One thread each: results do not depend on the machine's cores, and processes do not fight.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Tables and messages are as wide as the terminal.
os.environ["COLUMNS"] = "100"

# A shell starts background jobs with SIGINT ignored, which the tests' processes would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def generated_chairs(tmp_path_factory) -> Path:
    """A small FlyingChairs-like folder, raw and packed: 16 training, 4 validation pairs."""
    from hat.data.packers.flyingchairs import pack_flyingchairs
    from hat.data.synthesis.data_set import generate_data_set
    from hat.data.synthesis.settings import GeneratorSettings

    folder = tmp_path_factory.mktemp("GeneratedChairs")
    settings = GeneratorSettings(num_pairs=20, num_val=4, size=(96, 128), seed=3)
    generate_data_set(folder, settings)
    for split in ("train", "val"):
        pack_flyingchairs(folder, folder, split, workers=0)
    return folder


@pytest.fixture
def tiny_config(tmp_path, generated_chairs) -> Path:
    """A config file derived from the lite one: six steps of a very small network."""
    return write_tiny_config(tmp_path, generated_chairs)


@pytest.fixture(scope="session")
def four_stages(tmp_path_factory, generated_chairs) -> Path:
    """Such a config with all four stages run; look, but change nothing in its folder."""
    from hat.cli.main import run_command

    config = write_tiny_config(tmp_path_factory.mktemp("four_stages"), generated_chairs)
    for stage in ("float", "calibration", "qat", "int_infer"):
        assert run_command("train", ["--stage", stage, "--config", str(config)]) == 0
    return config


def write_tiny_config(folder: Path, data: Path) -> Path:
    base = ROOT / "configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py"
    path = folder / "tiny.py"
    path.write_text(
        f'_base_ = "{base}"\n'
        'task_name = "tiny"\n'
        f'data_dir = "{data}"\n'
        f'ckpt_dir = "{folder / "ckpt"}"\n'
        "out_channels = [4, 4, 4, 4, 4, 4]\n"
        "predictor_channels = [8, 4]\n"
        "context_channels = [4, 4, 4, 4, 4, 4]\n"
        "train_size = (64, 64)\n"
        "batch_size_per_gpu = 4\n"
        "data_num_workers = 0\n"
        "shipped_ckpt_dir = None\n"
        "log_freq = 2\n"
        "calibration_steps = 3\n"
        "float_trainer = dict(num_steps=6)\n"
        "qat_trainer = dict(num_steps=4)\n"
        'ckpt_callback = dict(interval_by="step", save_interval=1)\n'
    )
    return path


def pytest_terminal_summary(terminalreporter) -> None:
    """Which kinds of tests did not run here, and what brings them."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    if reasons:
        terminalreporter.section(f"{len(reasons)} tests did not run on this machine")
        for line in summary(reasons):
            terminalreporter.write_line(line)
