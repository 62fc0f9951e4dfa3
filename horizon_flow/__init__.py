"""Optical flow between two images, in fixed-point arithmetic on the CPU.

from horizon_flow import FlowModel

flow = FlowModel()(image1, image2)

Neither torch nor the training tools are needed or loaded (``docs/flow_model.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from horizon.errors import InputError
    from horizon_flow.model import FlowModel
    from horizon_flow.network_file import shipped_networks

__all__ = ["FlowModel", "InputError", "shipped_networks"]


def __getattr__(name: str) -> Any:
    """Loaded when they are asked for: the data layer of ``hat`` needs the colours alone."""
    if name == "FlowModel":
        from horizon_flow.model import FlowModel

        return FlowModel
    if name == "InputError":
        from horizon.errors import InputError

        return InputError
    if name == "shipped_networks":
        from horizon_flow.network_file import shipped_networks

        return shipped_networks
    raise AttributeError(f"module 'horizon_flow' has no attribute {name!r}")
