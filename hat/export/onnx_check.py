"""Does ONNX Runtime compute what the network computes?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from hat.export.onnx_export import INPUT_NAME, OUTPUT_NAME

# (batch, height, width): the tutorial's size, batches, sides that are no multiple of 64, and
# images smaller than the coarsest level.
SHAPES = ((1, 384, 512), (2, 192, 256), (1, 436, 1024), (3, 100, 150), (1, 1, 70))


@dataclass(frozen=True)
class Comparison:
    """Both results for one input: largest absolute difference and largest |value|, px."""

    batch: int
    height: int
    width: int
    difference: float
    largest_flow: float


def check_onnx(
    path: str | Path,
    task: nn.Module,
    rng: np.random.Generator,
    shapes: Sequence[tuple[int, int, int]] = SHAPES,
) -> Iterator[Comparison]:
    """Run the file in ONNX Runtime (CPU) and ``task`` in torch on generated image pairs.

    A result of another shape, or one that is not finite in one of the two, counts as an infinite
    difference.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    task.eval()
    for batch, height, width in shapes:
        images = image_pairs(batch, height, width, rng)
        (found,) = session.run([OUTPUT_NAME], {INPUT_NAME: images})
        with torch.inference_mode():
            expected = task({"img": torch.from_numpy(images)}).numpy()
        difference = np.inf
        if found.shape == expected.shape and np.isfinite(found).all():
            difference = float(np.abs(found - expected).max())
        if not np.isfinite(difference):
            difference = np.inf
        yield Comparison(batch, height, width, difference, float(np.abs(expected).max()))


def image_pairs(batch: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Image pairs as the network takes them: float32 (batch, 6, height, width) in [-1, 1).

    Image 1 is noise at several scales, as textures are, image 2 the same shifted by a few pixels:
    there is flow to find, and it points across the borders.
    """
    margin = 8
    canvas = torch.zeros(batch, 3, height + 2 * margin, width + 2 * margin)
    for octave in range(5):
        rows, columns = (-(-side >> octave) for side in canvas.shape[2:])
        noise = torch.from_numpy(rng.normal(0, 0.15, (batch, 3, rows, columns))).float()
        canvas += torch.nn.functional.interpolate(noise, size=canvas.shape[2:], mode="bilinear")
    x, y = rng.integers(0, 2 * margin + 1, 2)
    first = canvas[:, :, margin : margin + height, margin : margin + width]
    second = canvas[:, :, y : y + height, x : x + width]
    pair = torch.cat([first, second], dim=1).clamp(-1.0, 127 / 128)
    return ((pair * 128).round() / 128).numpy()
