"""A network of your own: all stages and commands for a plain torch.nn.Module. Derive from it.

    _base_ = "own_network"
    model = dict(type=MyNetwork, width=16)           # a class, or a function that gives a module
    deploy_inputs = dict(image=(1, 3, 224, 224))     # what forward() takes, a batch of one
    data_loader = dict(dataset=dict(type=MyData))    # from here on for training only
    val_data_loader = dict(dataset=dict(type=MyData, train=False))
    targets = ["label"]
    loss = dict(type=torch.nn.CrossEntropyLoss)
    metrics = dict(accuracy=accuracy)

digits.py is a whole one; docs/own_network.md explains the names.
"""

import copy

import torch

from hat.data.collates import NamedCollate

task_name = "own_network"
seed = 0
ckpt_dir = f"./tmp_models/{task_name}"

# The network: what gives it, and for each argument of its forward() a name and a shape or example
model = None
deploy_inputs = {}

# For training: a batch has the inputs and the targets by these names
targets = []  # handed to the loss and to the metrics behind the network's outputs
loss = None  # loss(outputs, *targets), or dict(type=...) of such an object
metrics = {}  # by name: functions (outputs, *targets), or objects as those of torchmetrics
best_metric = "loss"  # of "loss" and the metrics: decides which checkpoint is the best
best_mode = "min"  # or "max"
batch_size = 64
num_workers = 0
num_epochs = 10
lr = 1e-3
calibration_steps = 16
qat_epochs = 2
qat_lr = lr / 10
march = "host"  # the machine to compile for
log_freq = 50

network_task = dict(
    type="NetworkTask", network=model, inputs=deploy_inputs, targets=targets, loss=loss
)
deploy_model = network_task


def loader(shuffle):
    return dict(
        type=torch.utils.data.DataLoader,
        dataset=None,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=num_workers,
        collate_fn=dict(type=NamedCollate, names=[*deploy_inputs, *targets]),
    )


data_loader = loader(shuffle=True)
val_data_loader = loader(shuffle=False)
calibration_data_loader = copy.deepcopy(data_loader)


def loss_collector(outputs):
    return outputs["losses"]


batch_processor = dict(
    type="MultiBatchProcessor", need_grad_update=True, loss_collector=loss_collector
)
val_batch_processor = dict(type="MultiBatchProcessor", need_grad_update=False)
loss_metric = {} if loss is None else dict(loss=loss)
train_metrics = [dict(type="NetworkMetrics", metrics=loss_metric, targets=targets)]
val_metrics = [dict(type="NetworkMetrics", metrics={**loss_metric, **metrics}, targets=targets)]
val_callback = dict(
    type="Validation", data_loader=val_data_loader, batch_processor=val_batch_processor
)


# What several stages share
def checkpoint_callback(stage):
    return dict(
        type="Checkpoint",
        save_dir=ckpt_dir,
        name_prefix=f"{stage}-",
        monitor_metric_key=best_metric,
        mode=best_mode,
        strict_match=True,
        keep_epochs=False,
    )


def checkpoint_of(stage, converter="LoadCheckpoint"):
    return dict(type=converter, checkpoint_path=f"{ckpt_dir}/{stage}-checkpoint-best.pth.tar")


def pipeline(*converters):
    return dict(type="ModelConvertPipeline", converters=list(converters))


def trainer_of(stage, epochs, rate, *converters):
    return dict(
        type="distributed_data_parallel_trainer",
        model=network_task,
        model_convert_pipeline=pipeline(*converters),
        data_loader=data_loader,
        optimizer=dict(type=torch.optim.Adam, lr=rate),
        batch_processor=batch_processor,
        num_epochs=epochs,
        callbacks=[
            dict(type="StatsMonitor", log_freq=log_freq),
            dict(type="MetricUpdater", step_log_freq=log_freq),
            dict(type="CosLrUpdater", step_log_interval=1000),
            val_callback,
            checkpoint_callback(stage),
        ],
        train_metrics=train_metrics,
        val_metrics=val_metrics,
        seed=seed,
    )


def predictor_of(*converters):
    return dict(
        type="Predictor",
        model=network_task,
        model_convert_pipeline=pipeline(*converters),
        data_loader=[val_data_loader],
        batch_processor=val_batch_processor,
        metrics=val_metrics,
    )


# The stages
float_trainer = trainer_of("float", num_epochs, lr)
calibration_trainer = dict(
    type="Calibrator",
    model=network_task,
    model_convert_pipeline=pipeline(checkpoint_of("float"), dict(type="Float2Calibration")),
    data_loader=calibration_data_loader,
    batch_processor=val_batch_processor,
    num_steps=calibration_steps,
    callbacks=[val_callback, checkpoint_callback("calibration")],
    val_metrics=val_metrics,
    seed=seed,
)
qat_trainer = trainer_of(
    "qat", qat_epochs, qat_lr, dict(type="Float2QAT"), checkpoint_of("calibration")
)
int_infer_trainer = dict(
    type="IntInferTrainer",
    model=network_task,
    model_convert_pipeline=pipeline(
        dict(type="Float2QAT"), checkpoint_of("qat"), dict(type="QAT2Quantize", name=task_name)
    ),
    callbacks=[val_callback, checkpoint_callback("int_infer")],
    val_metrics=val_metrics,
)

float_predictor = predictor_of(checkpoint_of("float"))
calibration_predictor = predictor_of(dict(type="Float2QAT"), checkpoint_of("calibration"))
qat_predictor = predictor_of(dict(type="Float2QAT"), checkpoint_of("qat"))
int_infer_predictor = predictor_of(checkpoint_of("int_infer", "LoadIntegerModel"))

# What the other commands take
align_bpu_predictor = dict(
    int_infer_predictor, type="NetworkBoardPredictor", data_loader=[val_data_loader]
)
calops_cfg = dict(model=network_task, input_shape=deploy_inputs)
onnx_cfg = dict(model=network_task, out_dir=ckpt_dir, opset_version=17)
compile_cfg = dict(march=march, name=task_name, out_dir=f"{ckpt_dir}/compile", input_source="ddr")
