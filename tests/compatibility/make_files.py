"""Make the files of this version that later versions have to read: ``files/0.1/``.

``python -m tests.compatibility.make_files``

A network of two convolutions takes an image pair of 32x48 to a flow of 8x12. The folder gets it as
an integer checkpoint, as a program for two machines and as a network file of FlowModel; an image
pair with the integers that all of them give for it; and two configs with what they describe. Run it
for a new version of the project only, with a new name of the folder: an earlier version's files
stay as that version wrote them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hat.config import Config
from hat.deploy.build import compile_model
from hat.engine.checkpoint import model_content, save_checkpoint
from horizon import hbm, quantization
from horizon_flow.network_file import network_bytes

FOLDER = Path(__file__).parent / "files" / "0.1"
SIZE = (32, 48)
MACHINES = ("host", "nash-e")
WHOLE = '''"""A whole config: a network of one's own, as a module that the config defines."""

import torch
from torch import nn

_base_ = "own_network"
task_name = "kept"


class Kept(nn.Sequential):
    def __init__(self, width):
        super().__init__(
            *(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
            nn.Conv2d(width, 2, 1),
        )


model = dict(type=Kept, width=4)
deploy_inputs = dict(image=(1, 3, 16, 16))
targets = ["wanted"]
loss = dict(type=nn.MSELoss)
data_loader = dict(dataset=dict(type=torch.utils.data.TensorDataset))
'''
DERIVED = '''"""Derived from the tutorial's config: other data and sizes, a change in a section."""

_base_ = "pwcnet_pwcnetneck_flyingchairs"
task_name = "kept_derived"
data_dir = "./tmp_data/Own"
out_channels = [12, 16, 24, 32, 48, 64]
lr = 5e-4
float_trainer = dict(stop_by="step", num_steps=10, clip_grad_norm=1.0)
data_loader = dict(dataset=dict(transforms=[dict(type="ToTensor", to_yuv=False)]))
'''


def integer_model() -> quantization.IntegerModel:
    """The network, calibrated on noise."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 3, 2, 1)]
    network = nn.Sequential(*layers).eval()
    images = torch.rand(4, 6, *SIZE) * 2 - 1
    prepared = quantization.prepare_calibration(network, images[:1])
    prepared(images)
    prepared = quantization.prepare_qat(quantization.finish_calibration(prepared)).eval()
    converted = quantization.convert(prepared)
    graph = quantization.trace(converted, input_names=["img"], output_names=["flow"])
    return quantization.IntegerModel(graph)


def main() -> None:
    FOLDER.mkdir(parents=True)
    model = integer_model()
    content: dict[str, Any] = {"stage": "int_infer", "epoch": 0, "step": 0, "metrics": {}}
    checkpoint = FOLDER / "int_infer-checkpoint-best.pth.tar"
    save_checkpoint(checkpoint, {**content, **model_content(model)})
    for machine in MACHINES:
        program = compile_model(model, SIZE, march=machine, input_type="uint8").program
        hbm.write(program, FOLDER / f"{machine}.hbm")
    (FOLDER / "network.npz").write_bytes(network_bytes(model.graph))
    image = np.random.default_rng(0).integers(0, 256, (1, 6, *SIZE), np.uint8)
    step = model.graph.tensors["img"].scales[0]
    real = torch.from_numpy((image.astype(np.float32) - 128) * np.float32(step))
    flow = model.integers(real).numpy()
    np.savez_compressed(FOLDER / "expected.npz", image=image, flow=flow)
    (FOLDER / "config.py").write_text(WHOLE)
    (FOLDER / "derived_config.py").write_text(DERIVED)
    described = {name: description(FOLDER / name) for name in ("config.py", "derived_config.py")}
    (FOLDER / "expected.json").write_text(json.dumps(described, indent=1) + "\n")
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


def description(path: Path) -> dict[str, Any]:
    """What a config says, in words that a later version has to agree with."""
    from hat.registry import build_from_registry

    config = Config.fromfile(path)
    section = "network_task" if "network_task" in config else "model"
    model = build_from_registry(config.section(section), section)
    state = model.state_dict()
    return {
        "task_name": config.task_name,
        "section": section,
        "tensors": len(state),
        "values": sum(value.numel() for value in state.values()),
        "optimizer": config.section("float_trainer")["optimizer"]["type"].__name__,
    }


if __name__ == "__main__":
    main()
