"""The levels 1/8 to 1/128 of pwcnet_small_generated.py alone, which train three times as fast.

An object that these levels miss stays missed at 1/4 and 1/2. They are taken out of a trained
network, trained behind its first convolutions, and put back; then the whole network is trained on.

    hat widen --config configs/opticalflow_pred/pwcnet/pwcnet_small_coarse.py --from-config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --ckpt models/pwcnet_small_generated/float-checkpoint-best.pth.tar --output tmp_models/coarse.pth.tar
    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_small_coarse.py --device-ids 0,1 --ckpt tmp_models/coarse.pth.tar
    python3 -m benchmarks.carry_over --config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --ckpt models/pwcnet_small_generated/float-checkpoint-best.pth.tar --from-config configs/opticalflow_pred/pwcnet/pwcnet_small_coarse.py --before tmp_models/coarse.pth.tar --after tmp_models/pwcnet_small_coarse/float-checkpoint-last.pth.tar --share 1 --output tmp_models/joined.pth.tar
    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --device-ids 0,1 --ckpt tmp_models/joined.pth.tar
"""

_base_ = "pwcnet_small_generated.py"

task_name = "pwcnet_small_coarse"
shipped_ckpt_dir = None

# What lies before these levels stays as it is: that of 1/4 and 1/2 depends on it.
flow_pred_lvl = 3
match_depths = []
train_scales = [8, 16, 32, 64, 128]
loss_weights = [1.0, 0.7, 0.5, 0.4, 0.3]
train_size = (384, 512)  # crops show few large motions
lr = 6e-4
float_trainer = dict(num_steps=10000, frozen=["backbone.levels.0", "backbone.levels.1"])
