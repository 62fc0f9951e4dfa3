"""Flow of two images: as a .flo file and as a picture in colours.

python examples/two_images.py A.png B.png out

Writes out.flo and out.png. Hue is the direction of the motion, saturation its length.
"""

import sys

import cv2
import numpy as np

from hat.data.flow_io import write_flo
from hat.visualize.colours import flow_colours
from horizon_flow import FlowModel

first, second = (cv2.imread(path) for path in sys.argv[1:3])
flow = FlowModel(channels="BGR")(first, second)  # float32 (H, W, 2), px
write_flo(f"{sys.argv[3]}.flo", flow)
cv2.imwrite(f"{sys.argv[3]}.png", cv2.cvtColor(flow_colours(flow), cv2.COLOR_RGB2BGR))
length = np.hypot(flow[..., 0], flow[..., 1])
print(f"mean motion {flow.mean(axis=(0, 1)).round(2)} px, longest {length.max():.2f} px")
