"""Which kernels the native module uses; every room that calls it may ask."""

from __future__ import annotations

import os

from horizon.errors import InputError
from horizon.extension import native as _native


def kernels_name() -> str:
    """The instruction set in use: scalar, avx2, avxvnni, avx512, amx or neon.

    The environment variable ``HORIZON_KERNELS`` forces one.

    Raises:
        InputError: the variable names none that this CPU has.
    """
    try:
        return _native.kernels_name()
    except ValueError as error:
        raise InputError(f"{error} (found {os.environ.get('HORIZON_KERNELS')!r})") from None
