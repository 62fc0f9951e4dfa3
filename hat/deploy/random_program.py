"""The integer model of a config without training and without data.

How long a program takes and what it moves depends on its layers and sizes, and not on the values
of its weights. So random ones will do for an estimate. The flow that they give is meaningless, but
no layer of the network is dead: every one has something to compute, as after training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves, tree_map

from hat.config import Config
from hat.deploy.one_thread import one_torch_thread
from hat.engine.convert import Float2Calibration, QAT2Quantize
from hat.errors import InputError
from hat.models.tasks import NetworkTask
from hat.registry import build_from_registry
from hat.seeding import seed_everything
from horizon.quantization import IntegerModel, finish_calibration
from horizon.quantization.examples import call_with
from horizon.quantization.fuse import BATCH_NORMS
from horizon.quantization.unquantised import Unquantised, list_unquantised

SECTIONS = ("deploy_model", "model")
"""Where the network is described, in the order of preference."""
SIDE = 128
"""Of the calibration images at least: seconds for the full network."""
ENOUGH = 256
"""Sides of that size stay as they are; smaller ones are doubled at least, because the smallest
image of a pyramid has a single place at its coarsest level."""
IMAGES = 2
SIZE = 0.25
"""Root mean square of what a layer gives, so small that SiLU and products with a sigmoid are nearly
linear: else values that are a little larger than those of the images grow with the depth."""
FLOW_CHANNELS = 2
FLOW_SIZE = 0.1
"""Root mean square of what layers of two channels give, in the network's unit of 20 pixels: flow
of tens of pixels, as untrained layers give it, would warp everything out of the image."""
TINY = 1e-12


def random_program(config: Config) -> IntegerModel:
    """The config's ``deploy_model``, or ``model``, with seeded random weights, as integer model.

    Its network is built, normalised, fused, calibrated on generated images and converted. The same
    config gives the same program.

    Args:
        config: ``seed`` and ``task_name``, the program's name, are taken if they are there.

    Raises:
        InputError: no such section, a mistake in it, or a network that cannot be quantised.
    """
    with one_torch_thread(), torch.no_grad():
        model = build_network(config)
        images = example_images(model)
        settle(model, images)
        prepared = Float2Calibration()(model).eval()
        call_with(prepared, images)
        name = str(config.get("task_name", "model"))
        return QAT2Quantize(name)(finish_calibration(prepared))


def build_network(config: Config) -> nn.Module:
    """The float model in evaluation mode, with the config's seed."""
    section = next((name for name in SECTIONS if name in config), None)
    if section is None:
        raise InputError(
            f"{config.path}: neither {' nor '.join(SECTIONS)}, so there is no network to take "
            "random weights for; add model = dict(type=...) or name a checkpoint with --ckpt"
        )
    seed_everything(config.get("seed", 0))
    model = build_from_registry(config.section(section), section)
    if not isinstance(model, nn.Module):
        raise InputError(
            f"{config.path}: {section} gives {type(model).__name__}; expected a network, "
            "dict(type=...) of a torch.nn.Module"
        )
    return model.eval()


def unquantised_layers(model: Any) -> list[Unquantised]:
    """What keeps a network of :func:`build_network` from having a program, with any weights."""
    if isinstance(model, NetworkTask):
        return list_unquantised(model.network, model.arguments)
    return list_unquantised(
        model, model.example_input() if hasattr(model, "example_input") else None
    )


def example_images(model: Any) -> Any:
    """The model's ``example_input()`` with random images in the place of its tensors.

    Each (N, C, H, W) becomes (IMAGES N, C, f H, f W) on the grid of int8 with scale 1/128. SIDE
    and ENOUGH say what f is, by the largest of them; the size of a NetworkTask stays as it is.

    Raises:
        InputError: the model has no such method.
    """
    if not hasattr(model, "example_input"):
        raise InputError(
            f"{type(model).__name__} has no example_input(), which says what the network takes; "
            "define it as PwcnetTask does"
        )
    example, generator = model.example_input(), torch.Generator().manual_seed(0)
    if isinstance(model, NetworkTask):
        return tree_map(lambda x: random_image(x, 1, generator) if is_image(x) else x, example)
    side = max((min(x.shape[2:]) for x in tree_leaves(example) if is_image(x)), default=ENOUGH)
    factor = 1 if side >= ENOUGH else max(2, -(-SIDE // side))
    return tree_map(lambda x: random_image(x, factor, generator) if is_image(x) else x, example)


def is_image(value: Any) -> bool:
    """Whether a part of an example is a tensor (N, C, H, W) of real numbers."""
    return isinstance(value, Tensor) and value.dim() == 4 and value.is_floating_point()


def random_image(image: Tensor, factor: int, generator: torch.Generator) -> Tensor:
    """A smooth image with noise, ``factor`` times as large, for each of IMAGES times as many.

    Without the smooth part deep layers would average the image away. Without the noise, weights
    that are scaled for such images would let the values of others grow from layer to layer.
    """
    images, channels, height, width = image.shape
    size = (factor * height, factor * width)
    coarse = torch.randn(
        IMAGES * images, channels, -(-size[0] // 8), -(-size[1] // 8), generator=generator
    )
    smooth = functional.interpolate(coarse, size, mode="bicubic")
    values = (smooth + torch.randn(smooth.shape, generator=generator)) / 2
    return ((values * 128).round() / 128).clamp(-1, 127 / 128)


def settle(model: nn.Module, images: Any) -> None:
    """Give the layers, in the order in which they run, weights that keep the values' size.

    Convolutions and batch normalisation are scaled for outputs with a root mean square of SIZE
    (FLOW_SIZE for convolutions to two channels). With the initial weights the values die out, or
    grow, on the way through a deep network.

    A normalisation has one divisor for all channels, and subtracts negative means only, so that
    no ReLU gives zeros alone. With mean and variance of each channel it would make a channel that
    is nearly constant on these few images as large as all others. Every such layer enlarges
    differences, and behind tens of them the last digits of the weights decide what comes out.
    """
    done: set[nn.Module] = set()

    def scale_weights(layer: Any, _: Any, output: Tensor) -> Tensor:
        size = output.square().mean().sqrt()
        if layer in done or not size > TINY:
            return output
        done.add(layer)
        factor = (FLOW_SIZE if output.shape[1] == FLOW_CHANNELS else SIZE) / size
        layer.weight.mul_(factor)
        if layer.bias is not None:
            layer.bias.mul_(factor)
        return output * factor

    def take_size(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        if layer in done or layer.running_mean is None:
            return
        done.add(layer)
        axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
        mean = inputs[0].mean(axes, keepdim=True).clamp(max=0)
        size = (inputs[0] - mean).square().mean().sqrt()
        if size > TINY:
            layer.running_mean.copy_(mean.flatten())
            layer.running_var.fill_((size / SIZE).square())

    handles = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            handles.append(layer.register_forward_hook(scale_weights))
        elif isinstance(layer, BATCH_NORMS):
            handles.append(layer.register_forward_pre_hook(take_size))
    try:
        call_with(model, images)
    finally:
        for handle in handles:
            handle.remove()
