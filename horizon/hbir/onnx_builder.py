"""A builder of ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from horizon.hbir.node import TensorInfo

# A graph's axis (NHWC) as an axis of the ONNX file (NCHW).
NCHW_AXIS = {0: 0, 3: 1, 1: 2, 2: 3}
ELEMENT_TYPE = {np.dtype(name): helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in (
    "uint8", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32"
)}  # fmt: skip


class Builder:
    """Collects the nodes and constants of one ONNX graph.

    Attributes:
        layer: prefix of the names of the nodes and tensors that are added next.
    """

    def __init__(self) -> None:
        self.layer = ""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: str | np.dtype) -> str:
        """Name of a constant; equal constants are stored once."""
        array = np.ascontiguousarray(np.asarray(value).astype(dtype))
        array = array.reshape(np.shape(value))
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = f"constant_{len(self.constants)}"
            self.initializers.append(numpy_helper.from_array(array, self.constants[key]))
        return self.constants[key]

    def sizes(self, *values: int) -> str:
        """Name of a constant int64 vector: a shape, axes, pads or positions."""
        return self.constant(np.array(values, np.int64), "int64")

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        name = f"{self.layer}/{operator}_{len(self.nodes)}"
        result = output or name
        self.nodes.append(
            helper.make_node(operator, list(inputs), [result], name=name, **attributes)
        )
        return result

    def cast(self, value: str, dtype: str, output: str | None = None) -> str:
        """Append a conversion to ``dtype``, a numpy name."""
        return self.add("Cast", value, output=output, to=ELEMENT_TYPE[np.dtype(dtype)])

    def slice(
        self,
        value: str,
        axis: int,
        start: int,
        stop: int,
        output: str | None = None,
        step: int = 1,
    ) -> str:
        """Append ``value[start:stop:step]`` along ``axis``."""
        steps = [self.sizes(step)] if step != 1 else []
        places = (self.sizes(start), self.sizes(stop), self.sizes(axis), *steps)
        return self.add("Slice", value, *places, output=output)


def nchw(vector: np.ndarray) -> np.ndarray:
    """One value per channel as (1, C, 1, 1); a single value, or equal ones, as a scalar.

    What has four axes already stays as it is otherwise.
    """
    values = np.asarray(vector)
    if (values == values.flat[0]).all():
        return values.reshape(-1)[0].reshape(())
    return values if values.ndim == 4 else values.reshape(1, -1, 1, 1)


def one_scale(info: TensorInfo) -> bool:
    """Do all channels of a tensor have the same scale?"""
    return len(set(info.scales)) == 1
