"""Derived from the tutorial's config: other data and sizes, a change in a section."""

_base_ = "pwcnet_pwcnetneck_flyingchairs"
task_name = "kept_derived"
data_dir = "./tmp_data/Own"
out_channels = [12, 16, 24, 32, 48, 64]
lr = 5e-4
float_trainer = dict(stop_by="step", num_steps=10, clip_grad_norm=1.0)
data_loader = dict(dataset=dict(transforms=[dict(type="ToTensor", to_yuv=False)]))
