"""Run compiled programs: numpy in, numpy out, without torch.

from horizon.runtime import Model

model = Model("model.hbm")
flow = model.run({"img": yuv})["flow"]
"""

from horizon.kernel_set import kernels_name
from horizon.runtime.model import (
    Counters,
    Memory,
    Model,
    Tensor,
    available_kernels,
    c_include_directory,
    c_library,
    check_threads,
)

__all__ = [
    "Counters",
    "Memory",
    "Model",
    "Tensor",
    "available_kernels",
    "c_include_directory",
    "c_library",
    "check_threads",
    "kernels_name",
]
