"""Flow of a video as coloured pictures; each frame is read when its flow is wanted.

python examples/video.py clip.mp4 out

Writes out/0001.png and so on. The scale is fixed: a colour means the same motion in all of them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hat.visualize.colours import flow_colours
from horizon_flow import FlowModel

LONGEST = 10.0  # px per frame: what the strongest colour stands for


def frames(path: str) -> Iterator[np.ndarray]:
    """The frames of a video, one after the other."""
    reader = cv2.VideoCapture(path)
    while True:
        there, frame = reader.read()
        if not there:
            return
        yield frame


folder = Path(sys.argv[2])
folder.mkdir(exist_ok=True)
count = 0
for count, flow in enumerate(FlowModel(channels="BGR").video(frames(sys.argv[1])), 1):
    picture = flow_colours(flow, LONGEST)
    cv2.imwrite(str(folder / f"{count:04d}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
print(f"{count} pictures in {folder}")
