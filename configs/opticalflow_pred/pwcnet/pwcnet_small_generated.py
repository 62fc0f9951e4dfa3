"""pwcnet_lite_generated.py with one level more, at half size; it begins with the small network's weights.

    hat widen --config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --from-config configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py --ckpt models/pwcnet_lite_generated/float-checkpoint-best.pth.tar --output tmp_models/wide.pth.tar
    python3 -m benchmarks.teach_levels --config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --ckpt tmp_models/wide.pth.tar --teacher-config configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py --teacher models/pwcnet_lite_generated/float-checkpoint-best.pth.tar --output tmp_models/taught.pth.tar
    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --device-ids 0,1 --ckpt tmp_models/taught.pth.tar

What is assigned here replaces the variable of the same name there; the data are the same, without
the easy ones at the beginning. To train it from nothing, take their stages as they are there.
"""

_base_ = "pwcnet_lite_generated.py"

task_name = "pwcnet_small_generated"
shipped_ckpt_dir = "./models/pwcnet_small_generated"

# 0.77 M parameters, 4.31 GMAC at 384x512. Levels 1/128 to 1/2: an error is a share of a pixel of the
# finest level, whatever that level is. Coarse levels have few pixels, so wide decoders cost little
# there; half of the time goes into the level at 1/2, so its decoder is short.
flow_pred_lvl = 1
match_depths = [2]
coarse_decoder = dict(channels=[80, 64, 48, 32, 32], md=4, aggregate=True)
every_decoder = {
    1: dict(channels=[32, 32, 16], dilations=[1, 2, 1], md=2),
    2: dict(aggregate=True),
    **dict.fromkeys(range(3, 8), coarse_decoder),
}
decoders = {level: one for level, one in every_decoder.items() if level >= flow_pred_lvl}
train_scales = [2, 4, 8, 16, 32, 64, 128]
loss_weights = [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625]

# Schedule: no easy pairs at the beginning, and wider pairs than there
train_size = (256, 384)
lr = 4e-4
easy_epochs = 0
easy_stages = []
freeze_bn_step = 0
float_trainer = dict(num_steps=5000)
qat_lr = 2e-5
qat_trainer = dict(num_steps=160)
