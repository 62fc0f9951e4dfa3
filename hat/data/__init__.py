"""Reading, packing, transforming and collating pairs of images with their flow."""

import importlib
from types import ModuleType

_MODULES = ("collates", "datasets", "flow_io", "image_io", "packers", "records", "transforms")


def __getattr__(name: str) -> ModuleType:
    """Load a module when it is first used: generator and packer do without torch."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
