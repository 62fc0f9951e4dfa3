"""pwcnet_lite_generated.py with a larger network: for a GPU, or for two CPU cores and days.

    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_small_generated.py --device-ids 0,1

What is assigned here replaces the variable of the same name there; the data are the same.
"""

_base_ = "pwcnet_lite_generated.py"

task_name = "pwcnet_small_generated"
shipped_ckpt_dir = "./models/pwcnet_small_generated"  # none yet

# 0.83 M parameters, 5.0 GMAC at 384x512
out_channels = [16, 32, 64, 96, 128]
match_channels = 32
max_displacement = 4
predictor_channels = [96, 64, 64, 48, 32]
hidden_channels = 7
