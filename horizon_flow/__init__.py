"""Optical flow between two images, in fixed-point arithmetic on the CPU.

from horizon_flow import FlowModel

flow = FlowModel()(image1, image2)

Neither torch nor the training tools are needed or loaded.
"""

from horizon.errors import InputError
from horizon_flow.model import FlowModel

__all__ = ["FlowModel", "InputError"]
