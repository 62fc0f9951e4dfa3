"""A small PWC-Net on generated pairs, for two CPU cores and an hour or two.

    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py
    python3 tools/train.py --stage calibration --config configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py
    python3 tools/train.py --stage qat --config configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py
    python3 tools/train.py --stage int_infer --config configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py

The experiment of pwcnet_pwcnetneck_flyingchairs.py with other sizes and another schedule; what is
assigned here replaces the variable of the same name there. docs/training.md makes its data set.
"""

import torch

_base_ = "pwcnet_pwcnetneck_flyingchairs.py"

task_name = "pwcnet_lite_flyingchairs"
data_dir = "./tmp_data/GeneratedChairs"
data_num_workers = 2
shipped_ckpt_dir = "./models/pwcnet_lite"  # taken while ckpt_dir has no checkpoint
enable_amp = True

# 0.5 M parameters, 0.46 GMAC at 192x256
out_channels = [12, 16, 24, 32, 48, 64]
predictor_channels = [32, 32, 24, 16, 8]
context_channels = [32, 32, 32, 24, 16, 8]
use_dense = False
use_res = False  # context network at the last level only

train_size = (256, 256)
lr = 2e-3
qat_lr = 2e-4
warmup_epochs = 0.2
qat_lr_callback = dict(
    lr_decay_id=[900, 1300], update_by="step", warmup_len=0, step_log_interval=100
)
float_trainer = dict(
    optimizer=dict(type=torch.optim.AdamW, params={"weight": dict(weight_decay=1e-4)}),
    stop_by="step",
    num_steps=7000,
    clip_grad_norm=1.0,
    ema_decay=0.999,
    freeze_bn_step=4500,
    sync_bn=False,  # eight samples per process are enough
)
qat_trainer = dict(
    optimizer=dict(type=torch.optim.AdamW, params={"weight": dict(weight_decay=1e-4)}),
    stop_by="step",
    num_steps=1500,
    clip_grad_norm=1.0,
    ema_decay=0.999,
    sync_bn=False,
)
