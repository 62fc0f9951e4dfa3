"""A config of a very small network for tests of the commands."""

from __future__ import annotations

from pathlib import Path

import torch

from hat.config import Config
from hat.engine.checkpoint import save_weights
from hat.registry import build_from_registry

TEXT = """
from torch import nn
from hat.inference import full_resolution_flow, read_pair

task_name = "tiny"
ckpt_dir = {folder!r}
channels = [4, 4, 6, 6, 8, 8]
levels = dict(pyr_lvls=6, flow_pred_lvl=2, use_bn=True, bn_kwargs={{}}, act_type=nn.ReLU())
model = dict(
    type="PwcnetTask",
    backbone=dict(type="PwcNet", out_channels=channels, **levels),
    head=dict(
        type="PwcnetHead",
        in_channels=channels,
        md=2,
        use_res=False,
        use_dense=False,
        predictor_channels=[8, 4],
        context_channels=[4],
        context_dilations=[1, 1],
        **levels,
    ),
)
image_transforms = [
    dict(type="BgrToYuv444", rgb_input=True),
    dict(type="TorchVisionAdapter", interface="Normalize", mean=128.0, std=128.0),
]
calops_cfg = dict(model=model, input_shape=(1, 6, 64, 128))
infer_cfg = dict(
    model=model,
    infer_inputs=dict(img1="left.png", img2="right.png"),
    process_inputs=read_pair,
    transforms=image_transforms,
    process_outputs=full_resolution_flow,
    viz_func=dict(type="FlowViz", is_plot=True),
)
onnx_cfg = dict(model=model, out_dir={folder!r}, opset_version=17)
"""


def write_config(folder: Path) -> Path:
    """The config file, with ``folder`` as its folder of checkpoints."""
    path = folder / "tiny.py"
    path.write_text(TEXT.format(folder=str(folder)))
    return path


def write_checkpoint(config_path: Path, seed: int = 0, factor: float = 1.0) -> Path:
    """A float checkpoint of random weights, the last flow layer's times ``factor``."""
    config = Config.fromfile(config_path)
    torch.manual_seed(seed)
    model = build_from_registry(config.model, "model")
    state = model.state_dict()
    for name in ("head.estimators.0.flow.weight", "head.estimators.0.context.1.weight"):
        state[name] *= factor
    path = Path(config.ckpt_dir) / "float-checkpoint-best.pth.tar"
    save_weights(path, state)
    return path
