"""A config in the layout and with the names of the original tool kit, of a very small network."""

from __future__ import annotations

from pathlib import Path

TEXT = """
import copy
import os

import cv2
import horizon_plugin_pytorch as horizon
import numpy as np
import torch
from horizon_plugin_pytorch.march import March
from skimage.io import imread
from torch import nn
from torchvision.transforms import InterpolationMode

import hat
from hat.data.collates.collates import collate_2d
from hat.utils.config import ConfigVersion

VERSION = ConfigVersion.v2
training_step = os.environ.get("HAT_TRAINING_STEP", "float")

task_name = "pwcnet_tiny"
data_dir = {data!r}
ckpt_dir = {ckpt!r}
batch_size_per_gpu = 4
device_ids = [0]
cudnn_benchmark = True
log_rank_zero_only = True
seed = None
march = March.BAYES
convert_mode = "fx"
train_scales = [4, 8, 16, 32, 64]
out_channels = [4, 4, 4, 4, 4, 4]
levels = dict(use_bn=True, bn_kwargs=dict(), pyr_lvls=6, flow_pred_lvl=2, act_type=nn.ReLU())

model = dict(
    type="PwcNet",
    backbone=dict(type="PwcNetNeck", out_channels=out_channels, **levels),
    head=dict(
        type="PwcNetHead", in_channels=out_channels, md=2, use_res=False, use_dense=False, **levels
    ),
    loss=dict(type="LnNormLoss", norm_order=2, power=1, reduction="mean"),
    loss_weights=[0.005, 0.01, 0.02, 0.08, 0.32],
)
deploy_model = copy.deepcopy(model)
deploy_model.update(loss=None, loss_weights=None)
deploy_inputs = dict(img=torch.randn((1, 6, 64, 128)))

data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(
        type="FlyingChairs",
        data_path=os.path.join(data_dir, "train_lmdb"),
        transforms=[
            dict(type="RandomCrop", size=(64, 64)),
            dict(type="RandomFlip", px=0.5, py=0.5),
            dict(type="ToTensor", to_yuv=False),
            dict(
                type="SegRandomAffine",
                degrees=0,
                translate=(0.05, 0.05),
                scale=(1.0, 1.0),
                interpolation=InterpolationMode.BILINEAR,
                label_fill_value=0,
                translate_p=0.5,
                scale_p=0.0,
            ),
            dict(type="FlowRandomAffineScale", scale_p=0.5, scale_r=0.05),
        ],
        to_rgb=True,
    ),
    sampler=dict(type=torch.utils.data.DistributedSampler),
    batch_size=batch_size_per_gpu,
    pin_memory=True,
    shuffle=True,
    num_workers=0,
    collate_fn=hat.data.collates.collates.collate_2d,
)
val_data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(
        type="FlyingChairs",
        data_path=os.path.join(data_dir, "val_lmdb"),
        transforms=[dict(type="ToTensor", to_yuv=False)],
        to_rgb=True,
    ),
    batch_size=batch_size_per_gpu,
    shuffle=False,
    num_workers=0,
    pin_memory=True,
    collate_fn=collate_2d,
)
calibration_data_loader = copy.deepcopy(data_loader)
calibration_data_loader.pop("sampler")
calibration_data_loader["dataset"]["transforms"] = val_data_loader["dataset"]["transforms"]

image_transforms = [
    dict(type="BgrToYuv444", rgb_input=True),
    dict(type="TorchVisionAdapter", interface="Normalize", mean=128.0, std=128.0),
]


def collect_losses(outputs):
    return outputs["losses"]


def update_loss(metrics, batch, model_outs):
    for metric in metrics:
        metric.update(model_outs)


error_factor = 4


def update_error(metrics, batch, model_outs):
    flow = nn.functional.interpolate(model_outs, scale_factor=4, mode="bilinear") * error_factor
    for metric in metrics:
        metric.update(batch["gt_flow"], flow)


batch_processor = dict(
    type="MultiBatchProcessor",
    need_grad_update=True,
    batch_transforms=[
        *image_transforms,
        dict(
            type="Scale",
            scales=tuple(1 / np.array(train_scales)),
            mode="bilinear",
            mul_scale=False,
        ),
    ],
    loss_collector=collect_losses,
)
val_batch_processor = dict(
    type="MultiBatchProcessor",
    need_grad_update=False,
    batch_transforms=image_transforms,
    loss_collector=None,
)

stat_callback = dict(type="StatsMonitor", log_freq=1)
loss_show_update = dict(
    type="MetricUpdater",
    metric_update_func=update_loss,
    step_log_freq=1,
    epoch_log_freq=1,
    log_prefix="loss_" + task_name,
)
val_metric_updater = dict(
    type="MetricUpdater",
    metric_update_func=update_error,
    step_log_freq=100,
    epoch_log_freq=1,
    log_prefix="Validation " + task_name,
)
val_callback = dict(
    type="Validation",
    data_loader=val_data_loader,
    batch_processor=val_batch_processor,
    callbacks=[val_metric_updater],
    val_model=deploy_model,
    val_on_train_end=False,
)
ckpt_callback = dict(
    type="Checkpoint",
    save_dir=ckpt_dir,
    name_prefix=training_step + "-",
    save_interval=1,
    strict_match=True,
    mode="min",
    monitor_metric_key="EPE",
)


def checkpoint(stage):
    return dict(
        type="LoadCheckpoint",
        checkpoint_path=os.path.join(ckpt_dir, stage + "-checkpoint-best.pth.tar"),
    )


def pipeline(*converters):
    return dict(type="ModelConvertPipeline", qat_mode="fuse_bn", converters=list(converters))


to_calibration = dict(type="Float2Calibration", convert_mode=convert_mode)
to_qat = dict(type="Float2QAT", convert_mode=convert_mode)
to_integers = dict(type="QAT2Quantize", convert_mode=convert_mode)

float_trainer = dict(
    type="distributed_data_parallel_trainer",
    model=model,
    data_loader=data_loader,
    optimizer=dict(
        type=torch.optim.Adam, params={{"weight": dict(weight_decay=4e-4)}}, lr=1e-4
    ),
    batch_processor=batch_processor,
    stop_by="epoch",
    num_epochs=2,
    device=None,
    callbacks=[
        stat_callback,
        loss_show_update,
        dict(type="CosLrUpdater", warmup_by="epoch", warmup_len=1, step_log_interval=1),
        val_callback,
        ckpt_callback,
    ],
    train_metrics=dict(type="LossShow"),
    val_metrics=dict(type="EndPointError"),
    sync_bn=True,
)
calibration_trainer = dict(
    type="Calibrator",
    model=model,
    model_convert_pipeline=pipeline(checkpoint("float"), to_calibration),
    data_loader=calibration_data_loader,
    batch_processor=val_batch_processor,
    num_steps=3,
    device=None,
    callbacks=[stat_callback, val_callback, ckpt_callback],
    val_metrics=[dict(type="EndPointError")],
    log_interval=1,
)
qat_trainer = dict(
    float_trainer,
    model_convert_pipeline=pipeline(to_qat, checkpoint("calibration")),
    num_epochs=1,
    callbacks=[
        stat_callback,
        loss_show_update,
        dict(type="StepDecayLrUpdater", lr_decay_id=[1], step_log_interval=1),
        val_callback,
        ckpt_callback,
    ],
)
int_infer_trainer = dict(
    type="Trainer",
    model=deploy_model,
    model_convert_pipeline=pipeline(to_qat, checkpoint("qat"), to_integers),
    data_loader=None,
    optimizer=None,
    batch_processor=None,
    num_epochs=0,
    device=None,
    callbacks=[ckpt_callback],
)


def predictor(model_convert_pipeline, predicted=model):
    return dict(
        type="Predictor",
        model=predicted,
        model_convert_pipeline=model_convert_pipeline,
        data_loader=[val_data_loader],
        batch_processor=val_batch_processor,
        device=None,
        metrics=dict(type="EndPointError"),
        callbacks=[val_metric_updater],
        log_interval=1,
    )


float_predictor = predictor(pipeline(checkpoint("float")))
calibration_predictor = predictor(pipeline(to_calibration, checkpoint("calibration")))
qat_predictor = predictor(pipeline(to_qat, checkpoint("qat")))
hbir_model = dict(
    type="PwcNetHbirInfer",
    ir_model=dict(type="HbirModule", model_path=os.path.join(ckpt_dir, "quantized.bc")),
)
int_infer_predictor = predictor(None, hbir_model)
align_bpu_predictor = predictor(pipeline(to_qat, to_integers, checkpoint("int_infer")))

compile_dir = os.path.join(ckpt_dir, "compile")
compile_cfg = dict(
    march=march,
    name=task_name + "_model",
    out_dir=compile_dir,
    hbm=os.path.join(compile_dir, "model.hbm"),
    layer_details=True,
    input_source=["pyramid"],
    opt="O3",
)
onnx_cfg = dict(model=deploy_model, stage="qat", inputs=deploy_inputs)


def process_inputs(inputs, transforms):
    pair = np.concatenate([imread(inputs[key]) for key in ("img1", "img2")], axis=2)
    data = dict(img=torch.from_numpy(pair).permute(2, 0, 1).unsqueeze(0).float())
    return transforms(data), pair


def process_outputs(model_outs, viz_func, pair):
    flow = nn.functional.interpolate(model_outs, scale_factor=4, mode="bilinear") * 4
    viz_func(pair, flow)


infer_cfg = dict(
    model=deploy_model,
    infer_inputs=dict(img1="left.png", img2="right.png"),
    process_inputs=process_inputs,
    transforms=image_transforms,
    viz_func=dict(type="FlowViz", is_plot=True),
    process_outputs=process_outputs,
)
"""


def write_original_config(folder: Path, data: Path) -> Path:
    """The config file; its checkpoints go to ``folder`` / "ckpt"."""
    path = folder / "original.py"
    path.write_text(TEXT.format(data=str(data), ckpt=str(folder / "ckpt")))
    return path
