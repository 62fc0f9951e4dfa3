"""pwcnet_lite_generated.py a few steps further, on the packed pairs that `hat demo` generates.

    hat demo
    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_lite_demo.py --ckpt models/pwcnet_lite_generated/float-checkpoint-best.pth.tar

The second command trains on the pairs of the first. What is assigned here replaces the variable of the same name there.
"""

_base_ = "pwcnet_lite_generated.py"

task_name = "pwcnet_lite_demo"
data_dir = "./tmp_data/GeneratedChairs"
batch_size_per_gpu = 8
data_num_workers = 2

train_size = (256, 320)
qat_size = train_size

packed = dict(
    type="FlyingChairs",
    data_path=f"{data_dir}/train_lmdb/",
    transforms=[dict(type="ToTensor", to_yuv=False)],
)
cropped = [
    dict(type="RandomCrop", size=train_size),
    dict(type="RandomFlip", px=0.5, py=0.5),
    dict(type="PhotometricJitter", brightness=0.3, contrast=0.3, saturation=0.3, gamma=0.3, p=0.8),
    dict(type="ToTensor", to_yuv=False),
]
data_loader = dict(dataset={**packed, "transforms": cropped, "_delete_": True})
val_data_loader = dict(dataset={**packed, "data_path": f"{data_dir}/val_lmdb/", "_delete_": True})
calibration_data_loader = dict(dataset={**packed, "_delete_": True})
