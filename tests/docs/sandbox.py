"""A folder in which the commands of the pages run as they stand: tiny data under the usual names.

``configs/`` has files with the names of those that come along, derived from them. They replace the
numbers of steps and pairs and the sizes of images, and give the full-size network the layers of the
lite one, whose trained checkpoints in ``models/`` the stages begin with. So a command of minutes or
days takes a second or two, and no word of it changes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

import hat.shipped
from hat.cli.main import run_command
from hat.data.flow_io import write_flo
from hat.data.synthesis.texture_bank import TextureBank
from horizon_flow.cache import VARIABLE
from tests.conftest import ROOT
from tests.data import datasets_layout
from tests.docs.own_files import machine_of_the_manual, own_files, smaller
from tests.migration.layout import write_original_config
from tests.sequences.media import SIZE, write_pictures, write_video

PWCNET = "configs/opticalflow_pred/pwcnet"
SHORT = """
data_num_workers = 0
batch_size_per_gpu = 2
train_size = (64, 64)
deploy_size = (128, 128)
calibration_steps = 1
log_freq = 1
enable_amp = False
"""
TRAINERS = """
float_trainer = dict(num_steps=2)
qat_trainer = dict(num_steps=2)
ckpt_callback = dict(interval_by="step", save_interval=1)
"""
FULL = """
out_channels = [12, 16, 24, 32, 48, 64]
predictor_channels = [32, 32, 24, 16, 8]
context_channels = [32, 32, 32, 24, 16, 8]
use_dense = False
use_res = False
shipped_ckpt_dir = "./models/pwcnet_lite"
max_epoch = 1
qat_trainer = dict(num_epochs=1)
"""
TWO_PAIRS = """
two_pairs = dict(
    length=2, textures=textures, stages=[dict(motions={"small": 1.0}, size=(128, 128))]
)
val_data_loader = dict(dataset=two_pairs)
calibration_data_loader = dict(dataset=two_pairs)
"""
DRAWN = """
easy_epochs = 0
easy_stages = []
qat_size = (128, 128)
data_loader = dict(dataset=dict(length=4))
textures = dict(type="TextureBank", path="tmp_data/textures.npy", count=2)
stages = [dict(motions={"spread": 1.0}, size=(64, 64), objects=(0, 2))]
"""
BY_TIME = """
data_num_workers = 0
batch_size_per_gpu = 2
textures = dict(type="TextureBank", path="tmp_data/textures.npy", count=2)
stages = [dict(motions={"spread": 1.0}, size=(64, 64), objects=(0, 2))]
pairs_per_epoch = 4
data_loader = dict(persistent_workers=False)
ckpt_callback = dict(interval_by="step")
val_callback = dict(interval_by="step")
"""
DIGITS = """
num_epochs = 1
qat_epochs = 1
data_loader = dict(dataset=dict(count=300))
val_data_loader = dict(dataset=dict(count=100))
"""
CHANGES = {
    f"{PWCNET}/pwcnet_pwcnetneck_flyingchairs.py": SHORT + FULL,
    f"{PWCNET}/pwcnet_lite_flyingchairs.py": SHORT + TRAINERS,
    f"{PWCNET}/pwcnet_lite_generated.py": SHORT + TRAINERS + DRAWN + TWO_PAIRS,
    f"{PWCNET}/pwcnet_small_generated.py": SHORT + TRAINERS + DRAWN + TWO_PAIRS,
    f"{PWCNET}/pwcnet_lite_by_time.py": SHORT + BY_TIME + TWO_PAIRS,
    f"{PWCNET}/pwcnet_small_by_time.py": SHORT + BY_TIME + TWO_PAIRS,
    f"{PWCNET}/pwcnet_lite_demo.py": SHORT + TRAINERS,
    "configs/own_network/digits.py": DIGITS,
    "configs/own_network/own_network.py": "num_epochs = 1\nqat_epochs = 1\n",
}


@dataclass(frozen=True)
class Sandbox:
    """The folder that those of the pages are copied from."""

    template: Path
    pages: Path
    programs: Path

    def folder_for(self, page: Path, use: str, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A new folder for one page, which the process is in and takes for home from now on.

        ``use`` is the first part of its name.
        """
        name = page.relative_to(ROOT).as_posix().replace("/", "_")
        folder = self.pages / f"{use}_{name}"
        shutil.copytree(self.template, folder, symlinks=True)
        for file, text in own_files(page).items():
            (folder / file).write_text(smaller(page, file, text))
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("HAT_TRAINING_STEP", "float")  # commands change it
        monkeypatch.setenv(VARIABLE, str(self.pages / "programs"))
        monkeypatch.setattr(hat.shipped, "ROOTS", (folder,))
        monkeypatch.syspath_prepend(folder)
        return folder


def make_sandbox(folder: Path, chairs: Path) -> Sandbox:
    """Write the template; ``chairs`` is a packed data set in the layout of FlyingChairs."""
    template = folder / "template"
    for name, text in CHANGES.items():
        file = template / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'_base_ = "{ROOT / name}"\n{text}')
    (template / "models").symlink_to(ROOT / "models")
    (template / "examples").symlink_to(ROOT / "examples")
    (template / "horizon_flow/networks").mkdir(parents=True)
    (folder / "tmp_models").mkdir()
    (template / "tmp_models").symlink_to(folder / "tmp_models")  # one for all pages
    (template / "mine.toml").write_text(machine_of_the_manual())
    write_data_sets(template / "tmp_data", chairs)
    write_programs(template, folder / "programs")
    write_media(template)
    write_original_config(template, template / "tmp_data/FlyingChairs").rename(
        template / "my_config.py"
    )
    pages = folder / "pages"
    pages.mkdir()
    return Sandbox(template, pages, folder / "programs")


def write_data_sets(folder: Path, chairs: Path) -> None:
    for name in ("FlyingChairs", "GeneratedChairs", "GeneratedPairs"):
        shutil.copytree(chairs, folder / name)
    crop = (256, 320)  # what the pages cut out
    read_only = folder.parents[1] / "read_only"
    datasets_layout.write_sintel(read_only / "MPI-Sintel", crop)
    datasets_layout.write_kitti(read_only / "KITTI2015", 2015, crop)
    TextureBank(read_only / "textures.npy", count=2)
    for path in read_only.iterdir():
        (folder / path.name).symlink_to(path)


def write_programs(template: Path, folder: Path) -> None:
    """The lite network for pairs of 128x128: model.hbm, and bayes/model.hbm in ``folder``."""
    words = [
        "--config",
        str(ROOT / f"{PWCNET}/pwcnet_lite_flyingchairs.py"),
        "--size",
        "128",
        "128",
    ]
    words += ["--ckpt", str(ROOT / "models/pwcnet_lite/int_infer-checkpoint-best.pth.tar")]
    for march, target in (("host", folder), ("bayes", folder / "bayes")):
        own = ["--march", march, "--out-dir", str(target)]
        assert run_command("compile_perf", [*words, *own]) == 0
    shutil.copy(folder / "model.hbm", template / "model.hbm")


def write_media(folder: Path) -> None:
    """A.png, B.png, A.flo, clip.mp4, frames/, flow/, data/, pair.npy, mine.npz."""
    one, two, _ = write_pictures(folder / "frames", 3, "left_{:04d}.png")
    write_video(folder / "clip.mp4", 3)
    shutil.copy(folder / "clip.mp4", folder / "video.mp4")
    for image, names in ((one, "Aa"), (two, "Bb")):
        for name in names:
            shutil.copy(image, folder / f"{name}.png")
    shutil.copy(ROOT / "horizon_flow/networks/pwcnet_lite.npz", folder / "mine.npz")
    flow = np.broadcast_to(np.float32([3, 1]), (*SIZE, 2))
    write_flo(folder / "A.flo", flow)
    (folder / "flow").mkdir()
    (folder / "data").mkdir()
    for number in (1, 2):
        write_flo(folder / f"flow/left_{number:04d}.flo", flow)
        write_flo(folder / f"data/{number:05d}_flow.flo", flow)
        for image, file in ((1, one), (2, two)):
            cv2.imwrite(str(folder / f"data/{number:05d}_img{image}.ppm"), cv2.imread(str(file)))
    pair = np.random.default_rng(0).integers(0, 256, (1, 6, 128, 128), np.uint8)
    np.save(folder / "pair.npy", pair)
