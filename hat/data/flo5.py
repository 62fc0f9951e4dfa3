"""Flow in HDF5, ``.flo5``: the format of Spring (Mehl et al., CVPR 2023)."""

from __future__ import annotations

import os

import numpy as np

from hat.errors import InputError

__all__ = ["read_flo5"]

DATASET = "flow"


def read_flo5(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the data set ``flow`` of an HDF5 file: float32 (H, W, 2), NaN where unknown.

    Raises:
        InputError: h5py is not installed; a missing or damaged file, or one without such a data
            set.
    """
    name = os.fspath(path)
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{name}: reading .flo5 (HDF5) needs h5py, which is not installed: pip install h5py"
        ) from error
    try:
        with h5py.File(name, "r") as file:
            found = file.get(DATASET)
            if not isinstance(found, h5py.Dataset):
                raise InputError(
                    f"{name}: no data set {DATASET!r} in this HDF5 file; found "
                    f"{', '.join(file) or 'nothing'}"
                )
            flow = np.asarray(found, np.float32)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{name}: cannot read this .flo5 (HDF5) file: {error}") from error
    if flow.ndim != 3 or flow.shape[2] != 2 or flow.size == 0:
        raise InputError(f"{name}: a flow is (H, W, 2), the data set {DATASET!r} is {flow.shape}")
    return flow
