"""PWC-Net on FlyingChairs.

    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py
    python3 tools/train.py --stage calibration --config configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py
    python3 tools/train.py --stage qat --config configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py
    python3 tools/train.py --stage int_infer --config configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py

Float: schedule of the PWC-Net paper, 1.2 M steps of batch 8, Adam, learning rate 1e-4 per 16
samples, weight decay 4e-4 on the weights, crops of 256x448. Calibration: 16 batches of whole
training images. Quantisation-aware training: the data, loss and weight decay of the float training,
ten epochs, learning rate 1e-4, which falls to a tenth after the sixth epoch and again after the
ninth.
"""

import numpy as np
import torch
from torch import nn
from torchvision.transforms import InterpolationMode

import hat
from hat.inference import full_resolution_flow, read_pair

task_name = "pwcnet_pwcnetneck_flyingchairs"
seed = 0
batch_size_per_gpu = 8
data_num_workers = 4
data_dir = "./tmp_data/FlyingChairs"
ckpt_dir = f"./tmp_models/{task_name}"
max_epoch = 432  # of 2,779 steps: 1.2 M steps
warmup_by = "epoch"
warmup_epochs = 10
lr = 1e-4 * batch_size_per_gpu / 16
enable_amp = False
train_size = (256, 448)
train_scales = [4, 8, 16, 32, 64]
log_freq = 100
calibration_steps = 16
qat_mode = "fuse_bn"  # "with_bn": batch normalisation goes on until qat_trainer.freeze_bn_step
qat_lr = 1e-4
qat_teacher = False  # True: qat learns the float network's flow, not the true one
deploy_size = (384, 512)  # of the images of a compiled program

# Model
loss_weights = [0.005, 0.01, 0.02, 0.08, 0.32]
out_channels = [16, 32, 64, 96, 128, 196]
flow_pred_lvl = 2
pyr_lvls = 6
use_bn = True
bn_kwargs = {}
use_res = True
use_dense = True
predictor_channels = [128, 128, 96, 64, 32]
context_channels = [128, 128, 128, 96, 64, 32]

model = dict(
    type="PwcnetTask",
    backbone=dict(
        type="PwcNet",
        out_channels=out_channels,
        use_bn=use_bn,
        bn_kwargs=bn_kwargs,
        pyr_lvls=pyr_lvls,
        flow_pred_lvl=flow_pred_lvl,
        act_type=nn.ReLU(),
    ),
    head=dict(
        type="PwcnetHead",
        in_channels=out_channels,
        bn_kwargs=bn_kwargs,
        use_bn=use_bn,
        md=4,
        use_res=use_res,
        use_dense=use_dense,
        pyr_lvls=pyr_lvls,
        flow_pred_lvl=flow_pred_lvl,
        act_type=nn.ReLU(),
        predictor_channels=predictor_channels,
        context_channels=context_channels,
    ),
    loss=dict(type="LnNormLoss", norm_order=2, power=1, reduction="mean"),
    loss_weights=loss_weights,
)

# Data
data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(
        type="FlyingChairs",
        data_path=f"{data_dir}/train_lmdb/",
        transforms=[
            dict(type="RandomCrop", size=train_size),
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
        seed=seed,
    ),
    sampler=dict(type=torch.utils.data.DistributedSampler),
    batch_size=batch_size_per_gpu,
    pin_memory=True,
    shuffle=True,
    num_workers=data_num_workers,
    collate_fn=hat.data.collates.collate_2d,
)

val_data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(
        type="FlyingChairs",
        data_path=f"{data_dir}/val_lmdb/",
        transforms=[dict(type="ToTensor", to_yuv=False)],
        to_rgb=True,
    ),
    batch_size=batch_size_per_gpu,
    shuffle=False,
    num_workers=data_num_workers,
    pin_memory=True,
    collate_fn=hat.data.collates.collate_2d,
)


def loss_collector(outputs: dict):
    return outputs["losses"]


# whole images in the order of the data set: calibration draws nothing at random
calibration_data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(
        type="FlyingChairs",
        data_path=f"{data_dir}/train_lmdb/",
        transforms=[dict(type="ToTensor", to_yuv=False)],
        to_rgb=True,
    ),
    batch_size=batch_size_per_gpu,
    shuffle=False,
    num_workers=data_num_workers,
    pin_memory=True,
    collate_fn=hat.data.collates.collate_2d,
)


# uint8 RGB -> YUV444 in -1..1, what the board's int8 input with scale 1/128 stands for
image_transforms = [
    dict(type="BgrToYuv444", rgb_input=True),
    dict(type="TorchVisionAdapter", interface="Normalize", mean=128.0, std=128.0),
]

batch_processor = dict(
    type="MultiBatchProcessor",
    need_grad_update=True,
    batch_transforms=[
        *image_transforms,
        dict(type="Scale", scales=tuple(1 / np.array(train_scales)), mode="bilinear"),
    ],
    loss_collector=loss_collector,
    enable_amp=enable_amp,
)

val_batch_processor = dict(
    type="MultiBatchProcessor",
    need_grad_update=False,
    batch_transforms=image_transforms,
    loss_collector=None,
)


# Callbacks
def update_train_metrics(metrics, batch, model_outs):
    loss_show, end_point_error = metrics
    loss_show.update(model_outs["losses"])
    # at a quarter of the size, which is what the finest loss sees
    valid = batch["gt_valid_levels"][0] if "gt_valid_levels" in batch else None
    end_point_error.update(batch["gt_flow_levels"][0], model_outs["pred_flows"], valid)


stat_callback = dict(type="StatsMonitor", log_freq=log_freq)
loss_metirc_show_update = dict(
    type="MetricUpdater",
    metric_update_func=update_train_metrics,
    step_log_freq=log_freq,
    epoch_log_freq=1,
    log_prefix=task_name,
)
val_callback = dict(
    type="Validation",
    data_loader=val_data_loader,
    batch_processor=val_batch_processor,
    val_interval=1,
)
ckpt_callback = dict(
    type="Checkpoint",
    save_dir=ckpt_dir,
    name_prefix="float-",
    save_interval=1,
    strict_match=True,
    mode="min",
    monitor_metric_key="EPE",
    keep_epochs=False,
)
calibration_ckpt_callback = dict(ckpt_callback, name_prefix="calibration-")
qat_ckpt_callback = dict(ckpt_callback, name_prefix="qat-")
int_infer_ckpt_callback = dict(ckpt_callback, name_prefix="int_infer-")
qat_lr_callback = dict(
    type="StepLrUpdater",
    lr_decay_id=[6, 9],
    lr_decay_factor=0.1,
    update_by="epoch",
    warmup_by="step",
    warmup_len=100,  # Adam's first steps are as long as its later ones, and know less
    step_log_interval=1000,
)


# What several stages share
def checkpoint_of(stage):
    return dict(
        type="LoadCheckpoint", checkpoint_path=f"{ckpt_dir}/{stage}-checkpoint-best.pth.tar"
    )


def convert_pipeline(*converters):
    return dict(type="ModelConvertPipeline", qat_mode=qat_mode, converters=list(converters))


def predictor_of(**arguments):
    return dict(
        type="Predictor",
        **arguments,
        data_loader=[val_data_loader],
        batch_processor=val_batch_processor,
        device=None,
        metrics=[dict(type="FlowMetrics")],
        log_interval=50,
    )


# Float
float_trainer = dict(
    type="distributed_data_parallel_trainer",
    model=model,
    data_loader=data_loader,
    optimizer=dict(
        type=torch.optim.Adam,
        params={"weight": dict(weight_decay=4e-4)},
        lr=lr,
    ),
    batch_processor=batch_processor,
    stop_by="epoch",
    num_epochs=max_epoch,
    device=None,
    callbacks=[
        stat_callback,
        loss_metirc_show_update,
        dict(
            type="CosLrUpdater",
            warmup_by=warmup_by,
            warmup_len=warmup_epochs,
            step_log_interval=1000,
        ),
        val_callback,
        ckpt_callback,
    ],
    train_metrics=[dict(type="LossShow", finest_level=flow_pred_lvl), dict(type="EndPointError")],
    val_metrics=[dict(type="EndPointError")],
    sync_bn=True,
    seed=seed,
)

float_predictor = predictor_of(
    model=model,
    model_convert_pipeline=convert_pipeline(checkpoint_of("float")),
)

# Calibration
calibration_trainer = dict(
    type="Calibrator",
    model=model,
    model_convert_pipeline=convert_pipeline(checkpoint_of("float"), dict(type="Float2Calibration")),
    data_loader=calibration_data_loader,
    batch_processor=val_batch_processor,
    num_steps=calibration_steps,
    device=None,
    callbacks=[val_callback, calibration_ckpt_callback],
    val_metrics=[dict(type="EndPointError")],
    log_interval=4,
    seed=seed,
)

calibration_predictor = predictor_of(
    model=model,
    model_convert_pipeline=convert_pipeline(dict(type="Float2QAT"), checkpoint_of("calibration")),
)

# Quantisation-aware training
qat_batch_processor = batch_processor
if qat_teacher:
    teacher = dict(
        type="TeacherFlow",
        model=model,
        model_convert_pipeline=convert_pipeline(checkpoint_of("float")),
    )
    qat_batch_processor = dict(
        batch_processor, batch_transforms=[*batch_processor["batch_transforms"], teacher]
    )

qat_trainer = dict(
    type="distributed_data_parallel_trainer",
    model=model,
    model_convert_pipeline=convert_pipeline(dict(type="Float2QAT"), checkpoint_of("calibration")),
    data_loader=data_loader,
    optimizer=dict(
        type=torch.optim.Adam,
        params={"weight": dict(weight_decay=4e-4)},
        lr=qat_lr,
    ),
    batch_processor=qat_batch_processor,
    stop_by="epoch",
    num_epochs=10,
    device=None,
    callbacks=[
        stat_callback,
        loss_metirc_show_update,
        qat_lr_callback,
        val_callback,
        qat_ckpt_callback,
    ],
    train_metrics=[dict(type="LossShow", finest_level=flow_pred_lvl), dict(type="EndPointError")],
    val_metrics=[dict(type="EndPointError")],
    sync_bn=True,
    seed=seed,
)

qat_predictor = predictor_of(
    model=model,
    model_convert_pipeline=convert_pipeline(dict(type="Float2QAT"), checkpoint_of("qat")),
)

# Integer model
int_infer_trainer = dict(
    type="IntInferTrainer",
    model=model,
    model_convert_pipeline=convert_pipeline(
        dict(type="Float2QAT"), checkpoint_of("qat"), dict(type="QAT2Quantize", name=task_name)
    ),
    device=None,
    callbacks=[val_callback, int_infer_ckpt_callback],
    val_metrics=[dict(type="EndPointError")],
)

int_infer_predictor = predictor_of(
    model_convert_pipeline=convert_pipeline(
        dict(
            type="LoadIntegerModel",
            checkpoint_path=f"{ckpt_dir}/int_infer-checkpoint-best.pth.tar",
        )
    ),
)

# Compiled program
deploy_inputs = dict(img=torch.zeros(1, 6, *deploy_size))
compile_cfg = dict(
    march="host",
    name=task_name,
    out_dir=f"{ckpt_dir}/compile",
    hbm=f"{ckpt_dir}/compile/model.hbm",
    layer_details=True,  # the performance record lists every instruction
    input_source="pyramid",  # a camera's bytes; "ddr": int8, the bytes minus 128
    opt="O2",
)

align_bpu_predictor = dict(
    type="BoardPredictor",
    model_convert_pipeline=int_infer_predictor["model_convert_pipeline"],
    data_loader=[val_data_loader],
    batch_processor=val_batch_processor,
    metrics=[dict(type="FlowMetrics")],
)

# What the command lines take besides
calops_cfg = dict(model=model, input_shape=(1, 6, *deploy_size))

infer_cfg = dict(
    model=model,
    infer_inputs=dict(
        img1=f"{data_dir}/FlyingChairs_release/data/00001_img1.ppm",
        img2=f"{data_dir}/FlyingChairs_release/data/00001_img2.ppm",
    ),
    process_inputs=read_pair,
    transforms=image_transforms,
    process_outputs=full_resolution_flow,
    viz_func=dict(type="FlowViz", is_plot=True),
)

onnx_cfg = dict(model=model, out_dir=ckpt_dir, opset_version=17)
