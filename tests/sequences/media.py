"""Small pictures and videos of a scene that moves by whole pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hat.data.image_io import write_png
from hat.sequences.video_file import VideoFile

SIZE = (64, 96)


def images(count: int, step: tuple[int, int] = (3, 1), seed: int = 0) -> list[np.ndarray]:
    """Windows of a smooth texture; the scene moves by ``step`` (u, v) px a frame."""
    height, width = SIZE
    u, v = step
    large = (height + abs(v) * count, width + abs(u) * count)
    noise = np.random.default_rng(seed).normal(0, 1, (*large, 3)).astype(np.float32)
    scene = cv2.GaussianBlur(noise, (0, 0), 3)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    corners = [(abs(v) * (count - i), abs(u) * (count - i)) for i in range(count)]
    return [scene[y : y + height, x : x + width].copy() for y, x in corners]


def write_pictures(folder: Path, count: int, name: str = "frame_{:04d}.png") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name.format(number) for number in range(1, count + 1)]
    for file, image in zip(files, images(count), strict=True):
        write_png(file, image)
    return files


def write_video(path: Path, count: int, rate: float = 12.5) -> Path:
    video = VideoFile(path, rate)
    for image in images(count):
        video.write(image)
    video.publish()
    return path


def video_frames(path: Path) -> tuple[list[np.ndarray], float]:
    """All frames of a video, RGB, and its frames per second."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        ok, image = capture.read()
        if not ok:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
