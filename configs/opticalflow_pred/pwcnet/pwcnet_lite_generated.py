"""A small flow network on pairs that are drawn while it trains, for two CPU cores.

    python3 tools/datasets/flyingchairs_generator.py --target-data-dir tmp_data/GeneratedPairs --num-pairs 3000 --num-val 0 --motions chairs=0.4 sintel=0.3 small=0.2 driving=0.1 --shapes published=0.4 furniture=0.4 lattice=0.1 wires=0.1 --plain 0.4 --background-layers 1 3 --textures tmp_data/textures.npy --effects full --seed 11
    python3 tools/datasets/flyingchairs_packer.py --src-data-dir tmp_data/GeneratedPairs --split-name train --pack-type lmdb --num-workers 2
    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py --device-ids 0,1

The first command takes --backgrounds DIR, a folder of photographs, for better textures. The third
one goes on with --resume where it stopped. Crops show few large motions; so the network ends on whole
images, half of which have many:

    python3 tools/datasets/flyingchairs_generator.py --target-data-dir tmp_data/FarPairs --num-pairs 1800 --num-val 0 --motions sintel=0.75 spread=0.25 --shapes published=0.4 furniture=0.4 lattice=0.1 wires=0.1 --plain 0.4 --background-layers 1 3 --textures tmp_data/textures.npy --effects full --seed 71
    python3 tools/datasets/flyingchairs_packer.py --src-data-dir tmp_data/FarPairs --split-name train --pack-type lmdb --num-workers 2
    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py --device-ids 0,1 --ckpt tmp_models/pwcnet_lite_generated/float-checkpoint-last.pth.tar --opts ckpt_dir ./tmp_models/pwcnet_lite_whole far_dir ./tmp_data/FarPairs train_size "(384, 512)" lr 4e-4 easy_epochs 0 easy_stages "[]" freeze_bn_step 0 float_trainer.num_steps 5800

The other stages are those of
pwcnet_pwcnetneck_flyingchairs.py; what is assigned here replaces the variable of the same name there.
"""

import torch
from torch import nn

import hat

_base_ = "pwcnet_pwcnetneck_flyingchairs.py"

task_name = "pwcnet_lite_generated"
batch_size_per_gpu = 4  # two processes: 8 pairs a step
data_num_workers = 1
textures_file = "./tmp_data/textures.npy"  # drawn at the first start
calibration_steps = 24
photographs = None  # a folder of photographs, if you have one
data_dir = "./tmp_data/GeneratedPairs"
far_dir = None  # the folder of pairs with many large motions, for whole images
train_size = (256, 320)
qat_size = (384, 512)  # whole images, so that no large motion is unlearnt
shipped_ckpt_dir = "./models/pwcnet_lite_generated"  # taken while ckpt_dir has no checkpoint
enable_amp = True
lr = 1e-3
bn_kwargs = {"momentum": 0.01}
freeze_bn_step = 6000

# Model: 0.36 M parameters, 1.38 GMAC at 384x512. Levels 1/128 to 1/4; the coarsest cost 2 % of the time.
pyr_lvls = 7
flow_pred_lvl = 2
train_scales = [4, 8, 16, 32, 64, 128]
out_channels = [16, 24, 32, 48, 64, 64, 64]
depths = [1, 2, 2, 2, 2, 2, 2]
match_channels = 24
match_depths = []  # convolutions that only the match features see
max_displacement = 3
predictor_channels = [32, 32, 32, 32, 16]
dilations = [1, 1, 2, 4, 1]
hidden_channels = 5
decoders = {}  # by level: what is not as above
loss_weights = [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]

model = dict(
    type="PwcnetTask",
    backbone=dict(
        type="MatchPyramid",
        out_channels=out_channels,
        depths=depths,
        match_channels=match_channels,
        match_depths=match_depths,
        use_bn=True,
        bn_kwargs=bn_kwargs,
        pyr_lvls=pyr_lvls,
        flow_pred_lvl=flow_pred_lvl,
        act_type=nn.ReLU(),
        _delete_=True,
    ),
    head=dict(
        type="ResidualHead",
        match_channels=match_channels,
        use_bn=False,
        bn_kwargs=bn_kwargs,
        md=max_displacement,
        pyr_lvls=pyr_lvls,
        flow_pred_lvl=flow_pred_lvl,
        act_type=nn.ReLU(),
        channels=predictor_channels,
        dilations=dilations,
        hidden_channels=hidden_channels,
        decoders=decoders,
        _delete_=True,
    ),
    loss=dict(type="RobustFlowLoss", power=0.9, epsilon=0.1, _delete_=True),
    loss_weights=loss_weights,
    # rare large values are those of large motions: 99.9 cut them
    qconfig=dict(observer="percentile", percentile=99.99),
)

# Data: first motions that every level can see, then layered scenes, then the published distributions
textures = dict(type="TextureBank", path=textures_file, count=600, photographs=photographs)
mixture = {"chairs": 0.4, "sintel": 0.3, "small": 0.2, "driving": 0.1}
# what the pairs show: objects also of the forms of chairs, thin and plain ones, parallax, weather
scenery = dict(
    shapes={"published": 0.4, "furniture": 0.4, "lattice": 0.1, "wires": 0.1},
    plain=0.4,
    background_layers=(1, 3),
    effects="full",
)
easy_epochs = 8
easy_stages = [
    dict(epochs=4, motions={"spread": 1.0}, size=(192, 192), objects=(0, 3), effects=False),
    dict(
        epochs=4, motions={"spread": 0.5, "sintel": 0.3, "small": 0.2}, size=(224, 224), **scenery
    ),
]
stages = [*easy_stages, dict(motions={"spread": 0.5, **mixture}, size=train_size, **scenery)]
colours = dict(
    type="PhotometricJitter",
    brightness=0.6,
    contrast=0.4,
    saturation=0.3,
    gamma=0.8,
    noise=6.0,
    p=0.8,
    asymmetric_p=0.2,
)
drawn_now = dict(
    type="GeneratedPairs",
    textures=textures,
    length=4000,
    stages=stages,
    transforms=[colours, dict(type="ToTensor", to_yuv=False)],
)


def packed_pairs(folder, size):
    """Those of one folder."""
    augmentation = [
        dict(type="RandomErase", p=0.2),
        dict(type="RandomScaleCrop", size=size, scale=(0.67, 1.4), p=0.5),
        dict(type="RandomFlip", px=0.5, py=0.5),
        colours,
        dict(type="ToTensor", to_yuv=False),
    ]
    path = f"{folder}/train_lmdb/"
    return dict(type="FlyingChairs", data_path=path, transforms=augmentation)


def packed_before(size):
    """All pairs that were drawn before; an epoch are 4,000."""
    parts = [dict(dataset=packed_pairs(folder, size)) for folder in (data_dir, far_dir) if folder]
    return dict(type="Mixture", length=4000, parts=parts)


drawn_before = packed_before(train_size)

data_loader = dict(
    dataset=dict(
        type="Mixture",
        length=4000,
        parts=[
            dict(dataset=drawn_now, weight=0.15),
            dict(dataset=drawn_before, weight=0.85, first_epoch=easy_epochs),
        ],
        _delete_=True,
    ),
)
# without the rarest and largest motions, which would decide alone which checkpoint is the best
judged = {"spread": 1.0, "small": 1.0, "driving": 1.0}
val_data_loader = dict(
    dataset=dict(
        type="GeneratedPairs",
        textures=textures,
        length=96,
        stages=[dict(motions=judged, size=(384, 512), objects=(1, 16), **scenery)],
        transforms=[dict(type="ToTensor", to_yuv=False)],
        seed=1,
        fixed=True,
        _delete_=True,
    ),
    num_workers=0,
)
# what calibration has not seen is clipped: many large motions
far = {"sintel": 0.5, "spread": 0.3, "chairs": 0.2}
calibration_data_loader = dict(
    dataset=dict(
        type="GeneratedPairs",
        textures=textures,
        length=128,
        stages=[dict(motions=far, size=(384, 512), objects=(1, 16))],
        transforms=[dict(type="ToTensor", to_yuv=False)],
        seed=2,
        fixed=True,
        _delete_=True,
    ),
)

# Schedule: half a million pairs; stop at any time, the averaged weights are good all along
ckpt_callback = dict(type="Checkpoint", save_interval=250, interval_by="step", keep_epochs=False)
val_callback = dict(type="Validation", val_interval=2)
float_trainer = dict(
    optimizer=dict(type=torch.optim.AdamW, params={"weight": dict(weight_decay=1e-4)}),
    stop_by="step",
    num_steps=60000,
    clip_grad_norm=1.0,
    ema_decay=0.999,
    freeze_bn_step=freeze_bn_step,
    sync_bn=False,
)
warmup_epochs = 0.5
qat_teacher = True  # towards the true flow, this rate would unlearn the largest motions
qat_lr = 1.2e-5
qat_lr_callback = dict(
    lr_decay_id=[132, 187], update_by="step", warmup_len=50, step_log_interval=100
)
qat_trainer = dict(
    data_loader=dict(
        type=torch.utils.data.DataLoader,
        dataset=packed_before(qat_size),
        batch_size=batch_size_per_gpu,
        shuffle=True,
        num_workers=data_num_workers,
        collate_fn=hat.data.collates.collate_2d,
        _delete_=True,
    ),
    optimizer=dict(type=torch.optim.AdamW, params={"weight": dict(weight_decay=1e-4)}),
    stop_by="step",
    num_steps=220,
    clip_grad_norm=1.0,
    ema_decay=0.99,
    sync_bn=False,
)
