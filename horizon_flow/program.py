"""Compiled programs of a flow network, as functions of image pairs and of a video's frames.

A program has one size. Smaller images are padded at the bottom and on the right by repeating their
border, as the network itself pads, and the result is cropped.
"""

from __future__ import annotations

import os
from typing import ClassVar

import numpy as np

from horizon.errors import InputError
from horizon.runtime import Model, Tensor

CHANNELS = 6


class Program:
    """What programs of flow networks have in common.

    Args:
        source: a .hbm file or its bytes.
        threads: of each run; None takes all cores.
        name: of the program in messages; None takes the file's.

    Attributes:
        size: (H, W) of its images.
        reduction: how many times smaller the flow is.
        scales: (2, 1, 1), px per step of the flow's integers.

    Raises:
        InputError: the file is missing or no valid program, or not one of this kind.
    """

    form: ClassVar[str]
    """A word for this kind of program."""
    expected: ClassVar[str]

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        threads: int | None = None,
        name: str | None = None,
    ) -> None:
        own = "the program" if isinstance(source, bytes) else os.fspath(source)
        self.source = own if name is None else name
        self.model = Model(source, threads)
        inputs, outputs = self.model.inputs, self.model.outputs
        if not (inputs and outputs and self.fits(inputs, outputs)):
            tensors = ", ".join(f"{t.name} {t.dtype} {t.shape}" for t in (*inputs, *outputs))
            raise InputError(
                f"{self.source}: not the program of an optical flow network: inputs and outputs "
                f"are {tensors}; expected {self.expected}"
            )
        image, flow = inputs[0], outputs[0]
        self.input_name, self.output_name = image.name, flow.name
        self.input_type = image.dtype
        self.size: tuple[int, int] = (image.shape[2], image.shape[3])
        self.reduction = image.shape[2] // flow.shape[2]
        self.scales = np.broadcast_to(np.array(flow.scales), 2).reshape(2, 1, 1)

    @staticmethod
    def fits(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> bool:
        """Whether inputs and outputs are those of this kind of program."""
        raise NotImplementedError

    def typed(self, planes: np.ndarray) -> np.ndarray:
        """uint8 (C, H, W) as the program takes it, (1, C, H, W)."""
        if self.input_type == np.int8:
            planes = (planes ^ 0x80).view(np.int8)
        return planes[None]

    def flow(self, integers: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The program's integers as px: float32 (2, ceil(h / r), ceil(w / r)).

        Args:
            integers: int32 (2, H / r, W / r).
            size: (h, w) of the images before they were padded.
        """
        rows, columns = (-(-side // self.reduction) for side in size)
        return (integers[:, :rows, :columns] * self.scales).astype(np.float32)


class FlowProgram(Program):
    """Runs a program on image pairs; many threads may do so at the same time."""

    form = "pairs"
    expected = "an image pair uint8 or int8 (1, 6, H, W) and flow int32 (1, 2, H/r, W/r)"

    @staticmethod
    def fits(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> bool:
        return (
            len(inputs) == len(outputs) == 1
            and is_image(inputs[0], CHANNELS)
            and is_flow(outputs[0], inputs[0])
        )

    def run(self, planes: np.ndarray) -> np.ndarray:
        """The flow's integers, int32 (2, H / r, W / r), for uint8 YUV444 (6, H, W)."""
        return self.model.run({self.input_name: self.typed(planes)})[self.output_name][0]


class VideoProgram(Program):
    """Runs a program that takes one image and the features of the one before.

    See :mod:`horizon_flow.one_image`.
    """

    form = "video"
    expected = "an image (1, 3, H, W), features of another; flow int32 (1, 2, H/r, W/r), features"

    @staticmethod
    def fits(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> bool:
        return (
            is_image(inputs[0], CHANNELS // 2)
            and is_flow(outputs[0], inputs[0])
            and [(t.dtype, t.shape) for t in inputs[1:]]
            == [(t.dtype, t.shape) for t in outputs[1:]]
        )

    def no_features(self) -> list[np.ndarray]:
        """Features of no image: the flow from them means nothing."""
        return [np.zeros(tensor.shape, tensor.dtype) for tensor in self.model.inputs[1:]]

    def run(
        self, planes: np.ndarray, features: list[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """The flow's integers, int32 (2, H / r, W / r), and the features of the image.

        Args:
            planes: uint8 YUV444 (3, H, W), image 2.
            features: of image 1.
        """
        names = [tensor.name for tensor in self.model.inputs]
        given = dict(zip(names, [self.typed(planes), *features], strict=True))
        flow, *kept = self.model.run(given).values()
        return flow[0], kept


def is_image(tensor: Tensor, channels: int) -> bool:
    return tensor.shape[:2] == (1, channels) and tensor.dtype in (np.uint8, np.int8)


def is_flow(tensor: Tensor, image: Tensor) -> bool:
    """Whether it is int32 (1, 2, H / r, W / r) for images of H x W."""
    (height, width), (rows, columns) = image.shape[2:], tensor.shape[2:]
    return (
        tensor.shape[:2] == (1, 2)
        and tensor.dtype == np.int32
        and height % rows == width % columns == 0
        and height // rows == width // columns
    )
