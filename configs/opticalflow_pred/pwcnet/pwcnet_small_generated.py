"""pwcnet_lite_generated.py with a larger network, which begins with the weights of the small one.

    hat widen --config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --from-config configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py --ckpt models/pwcnet_lite_generated/float-checkpoint-best.pth.tar --output tmp_models/wide.pth.tar
    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --device-ids 0,1 --ckpt tmp_models/wide.pth.tar

What is assigned here replaces the variable of the same name there; the data are the same, without
the easy ones at the beginning. To train it from nothing, take their stages as they are there.
"""

_base_ = "pwcnet_lite_generated.py"

task_name = "pwcnet_small_generated"
shipped_ckpt_dir = "./models/pwcnet_small_generated"  # none yet

# 1.3 M parameters, 5.3 GMAC at 384x512. Levels 1/64 to 1/4.
pyr_lvls = 6
train_scales = [4, 8, 16, 32, 64]
loss_weights = [1.0, 0.5, 0.25, 0.125, 0.0625]
out_channels = [16, 32, 64, 96, 128, 128]
depths = [1, 2, 2, 2, 2, 2]
match_channels = 32
max_displacement = 4
at_zero_levels = [3, 4]  # small things that move far are not there at coarser levels
predictor_channels = [96, 64, 64, 48, 32]
hidden_channels = 7

# Data: darker and brighter pictures than there. Objects that are dark on dark are missed otherwise.
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

# Schedule: no easy pairs at the beginning; wider pairs than there, for larger motions
train_size = (256, 384)
lr = 6e-4
easy_epochs = 0
easy_stages = []
freeze_bn_step = 3000
float_trainer = dict(num_steps=14000)
qat_lr_callback = dict(lr_decay_id=[800, 1050])
qat_trainer = dict(num_steps=1200)
