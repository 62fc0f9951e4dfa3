"""The extension module ``horizon._native``, or a sentence that says how to build it."""

from __future__ import annotations

from horizon.errors import InputError

__all__ = ["NotBuilt", "native"]


class NotBuilt(InputError, ImportError):
    """The extension module is missing, or cannot be loaded by this Python."""


try:
    from horizon import _native as native
except ImportError as error:
    raise NotBuilt(
        f"horizon._native, the compiled part of this package, cannot be loaded ({error}); build it "
        "with 'make native' in the project's folder, or with 'pip install .' there"
    ) from error
