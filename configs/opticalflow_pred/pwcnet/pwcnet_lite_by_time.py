"""pwcnet_lite_generated.py within a given time, and without a data set on the disk.

    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_lite_by_time.py --opts float_trainer.num_minutes 60

All pairs are drawn while it trains. The curriculum, the learning rate and the frozen statistics follow
the time. ``python -m benchmarks.gpu_session`` chooses batch size, workers and ``echo`` for a machine.
What is assigned here replaces the variable of the same name in the files below.
"""

import torch

import hat

_base_ = "pwcnet_lite_generated.py"

task_name = "pwcnet_lite_by_time"
shipped_ckpt_dir = None
batch_size_per_gpu = 8
data_num_workers = 1
textures_file = "./tmp_data/textures.npy"
photographs = None
train_size = (256, 320)
warmup_by = "fraction"
warmup_epochs = 0.05  # of the run
pairs_per_epoch = 2000  # the curriculum moves on between epochs
echo = 1.0  # how often a pair is used: above 1 where the network is faster than the drawing

# Data: the curriculum of the file below, each stage up to a fraction of the run
textures = dict(type="TextureBank", path=textures_file, count=600, photographs=photographs)
mixture = {"chairs": 0.4, "sintel": 0.3, "small": 0.2, "driving": 0.1}
scenery = dict(
    shapes={"published": 0.4, "furniture": 0.4, "lattice": 0.1, "wires": 0.1},
    plain=0.4,
    background_layers=(1, 3),
    effects="full",
)
last_stage = dict(motions={"spread": 0.5, **mixture}, size=train_size, **scenery)
stages = [
    dict(until=0.08, motions={"spread": 1.0}, size=(192, 192), objects=(0, 3), effects=False),
    dict(
        until=0.16,
        motions={"spread": 0.5, "sintel": 0.3, "small": 0.2},
        size=(224, 224),
        **scenery,
    ),
    last_stage,
]
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
augmentation = [
    dict(type="RandomFlip", px=0.5, py=0.5),
    colours,
    dict(type="ToTensor", to_yuv=False),
]
data_loader = dict(
    dataset=dict(
        type="Echo",
        dataset=dict(
            type="GeneratedPairs", textures=textures, length=pairs_per_epoch, stages=stages
        ),
        factor=echo,
        transforms=augmentation,
        _delete_=True,
    ),
    persistent_workers=True,
)

# Schedule
ckpt_callback = dict(type="Checkpoint", save_interval=1, interval_by="minutes", keep_epochs=False)
val_callback = dict(type="Validation", val_interval=1, interval_by="minutes")
float_trainer = dict(stop_by="minutes", num_minutes=10, freeze_bn_step=0.3)
qat_trainer = dict(
    data_loader=dict(
        type=torch.utils.data.DataLoader,
        dataset=dict(
            type="GeneratedPairs",
            textures=textures,
            length=pairs_per_epoch,
            stages=[last_stage],
            transforms=augmentation,
            _delete_=True,
        ),
        batch_size=batch_size_per_gpu,
        num_workers=data_num_workers,
        collate_fn=hat.data.collates.collate_2d,
        _delete_=True,
    ),
)
