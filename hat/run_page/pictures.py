"""Pictures of a run's flow: files in ``{stage}-pictures/``, so that a resumed run has them too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from hat.data.files import write_file
from hat.engine.samples import Sample
from hat.visualize.colours import flow_colours
from hat.visualize.figure import Pair, pair_sheet
from hat.visualize.run_page import Strip
from hat.visualize.scale import colour_scale

FIGURE_SIDE, SMALL_SIDE = 360, 160  # px of the longer side
QUALITY = 85
EARLIER = 12  # small pictures of a pair on the page
NAME = re.compile(r"pair(\d+)-(\d{8})\.jpg")


def figure(sample: Sample) -> np.ndarray:
    """Images, flows and error of a pair side by side: uint8 RGB."""
    pair = shown(sample, FIGURE_SIDE)
    scale = colour_scale((sample.gt_flow, sample.gt_valid), (sample.flow, None))
    return pair_sheet(pair, scale).rgb()


def small_flow(sample: Sample) -> np.ndarray:
    """The predicted flow of a pair alone, uint8 RGB, on the scale of its figure."""
    scale = colour_scale((sample.gt_flow, sample.gt_valid), (sample.flow, None))
    return flow_colours(shown(sample, SMALL_SIDE).flow, scale)


def shown(sample: Sample, side: int) -> Pair:
    """A pair with at most ``side`` px at its longer side; the flow's values stay."""
    height, width = sample.flow.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def small(array: np.ndarray, how: int) -> np.ndarray:
        return cv2.resize(np.ascontiguousarray(array), size, interpolation=how)

    valid = sample.gt_valid
    return Pair(
        small(sample.image1, cv2.INTER_AREA),
        small(sample.image2, cv2.INTER_AREA),
        small(sample.flow, cv2.INTER_NEAREST),
        small(sample.gt_flow, cv2.INTER_NEAREST),
        None if valid is None else small(valid.astype(np.uint8), cv2.INTER_NEAREST),
    )


def write_pictures(
    folder: Path, step: int, samples: Sequence[Sample], figures: Sequence[np.ndarray]
) -> None:
    """Keep the pictures of a validation.

    Raises:
        InputError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, (sample, picture) in enumerate(zip(samples, figures, strict=True)):
        write_file(folder / f"pair{index}.jpg", jpeg(picture))
        write_file(folder / f"pair{index}-{step:08d}.jpg", jpeg(small_flow(sample)))


def read_strips(folder: Path, names: Sequence[str] = ()) -> list[Strip]:
    """The pictures in a folder by pair; ``names`` of the pairs, where they are known."""
    earlier: dict[int, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("pair*-*.jpg")):
        found = NAME.fullmatch(path.name)
        if found:
            earlier.setdefault(int(found[1]), []).append((int(found[2]), path))
    strips = []
    for index, files in sorted(earlier.items()):
        places = np.unique(np.linspace(0, len(files) - 1, EARLIER).round().astype(int))
        small = [(files[place][0], files[place][1].read_bytes()) for place in places]
        newest = folder / f"pair{index}.jpg"
        name = names[index] if index < len(names) else str(index + 1)
        strips.append(Strip(name, newest.read_bytes() if newest.is_file() else None, small))
    return strips


def drop_pictures_after(folder: Path, step: int) -> None:
    """Remove those of steps that are going to be made again."""
    for path in folder.glob("pair*-*.jpg"):
        found = NAME.fullmatch(path.name)
        if found and int(found[2]) > step:
            path.unlink()


def jpeg(rgb: np.ndarray) -> bytes:
    """uint8 RGB as JPEG."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    content: bytes = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return content
