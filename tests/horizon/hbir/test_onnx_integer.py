"""Integer ONNX files give the reference executor's integers in ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest

from horizon.errors import InputError
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbir.onnx_integer import check_integer, export_integer
from tests.conftest import ROOT
from tests.horizon.hbir import onnx_programs as programs

RNG = np.random.default_rng(5)
# The smallest multiplier; with shift 23, the identity.
ONE = 1 << 23

CONVOLUTIONS = {
    "one_channel": {"shape": (1, 5, 7, 1), "channels": 1},
    "33_channels": {"shape": (2, 3, 5, 33), "channels": 33, "relu": True},
    "height_1": {"shape": (1, 1, 9, 3), "channels": 5},
    "width_1": {"shape": (1, 9, 1, 3), "channels": 5, "stride": (2, 2)},
    "strided": {"shape": (1, 7, 10, 3), "stride": (2, 2)},
    "pointwise": {"kernel": (1, 1), "padding": (0, 0)},
    "uneven": {"kernel": (1, 5), "stride": (1, 2), "padding": (0, 3)},
    "dilated": {"shape": (1, 9, 9, 3), "dilation": (4, 2), "padding": (4, 2)},
    "grouped": {"shape": (1, 4, 5, 33), "channels": 6, "groups": 3},
    "uneven_padding": {"kernel": (2, 4), "padding": (0, 1), "end_padding": (1, 2)},
    "depthwise": {"shape": (2, 4, 5, 3), "channels": 3, "groups": 3},
    "extreme_weights": {"shape": (1, 4, 5, 33), "channels": 8, "extreme": True},
    "int16_out": {"dtypes": ("int8", "int16")},
    "int32_out": {"dtypes": ("int8", "int32")},
    "int16_in": {"dtypes": ("int16", "int8"), "extreme": True},
    "int16_in_dilated": {"dtypes": ("int16", "int16"), "dilation": (2, 2), "padding": (2, 2)},
    "residual": {"residual": "int8", "relu": True},
    "residual_int16": {"residual": "int16", "dtypes": ("int8", "int16")},
    "residual_int16_in": {"residual": "int8", "dtypes": ("int16", "int8")},
    "per_channel_scales": {"scales": (1 / 64, 1 / 8, 1 / 100)},
    "transposed": {"transposed": True, "kernel": (4, 4), "stride": (2, 2)},
    "transposed_3": {"transposed": True, "stride": (2, 2), "padding": (0, 0)},
    "transposed_stride_1": {"transposed": True, "kernel": (3, 2), "padding": (1, 0)},
    "transposed_uneven": {
        "transposed": True,
        "kernel": (5, 2),
        "stride": (2, 3),
        "padding": (2, 0),
        "shape": (2, 1, 4, 33),
    },
    "transposed_output_padding": {
        "transposed": True,
        "stride": (2, 2),
        "output_padding": (1, 1),
    },
    "transposed_rows_of_nothing": {
        "transposed": True,
        "kernel": (2, 1),
        "stride": (2, 4),
        "padding": (0, 0),
        "output_padding": (1, 3),
        "shape": (2, 3, 1, 5),
    },
    "transposed_groups": {
        "transposed": True,
        "kernel": (4, 4),
        "stride": (2, 2),
        "groups": 3,
        "shape": (1, 3, 4, 6),
        "channels": 9,
        "residual": "int8",
    },
    "transposed_depthwise": {
        "transposed": True,
        "stride": (2, 3),
        "output_padding": (1, 2),
        "groups": 33,
        "shape": (1, 1, 5, 33),
        "channels": 33,
        "dtypes": ("int16", "int8"),
    },
    "transposed_int16": {
        "transposed": True,
        "kernel": (4, 4),
        "stride": (2, 2),
        "dtypes": ("int16", "int16"),
        "residual": "int16",
        "extreme": True,
        "shape": (1, 3, 4, 2),
        "channels": 2,
    },
}
PROGRAMS = {
    "raw_accumulators": programs.raw_accumulators(RNG),
    "correlation": programs.correlation((1, 6, 7, 33), 4),
    "correlation_relu": programs.correlation((2, 1, 5, 3), 1, relu=True),
    "correlation_1_channel": programs.correlation((1, 4, 1, 1), 2),
    "correlation_0": programs.correlation((1, 3, 4, 3), 0),
    "correlation_int16": programs.correlation((2, 3, 4, 3), 1, dtypes=("int16", "int8")),
    "warp": programs.warp((1, 6, 9, 33)),
    "warp_batch": programs.warp((2, 5, 4, 3), pixels=1 / 5000),
    "warp_single_row": programs.warp((1, 1, 300, 1), pixels=1 / 100),
    "warp_far": programs.warp((1, 4, 4, 3), pixels=3.0),
    "warp_int16": programs.warp((2, 3, 5, 3), "int16", pixels=1 / 9000),
    "rescale": programs.rescale(("int8", "int8"), 14_000_001, 24),
    "rescale_vectors": programs.rescale(
        ("int16", "int8"), np.array([ONE, 9_999_999, ONE * 2 - 1]), np.array([30, 31, 47])
    ),
    "rescale_relu": programs.rescale(("int8", "int8"), ONE, 23, relu=True),
    "rescale_clamp": programs.rescale(("int8", "int8"), ONE + 77_777, 24, lo=-37, hi=21),
    "rescale_clamp_above_zero": programs.rescale(
        ("int16", "int16"), ONE + 77_777, 24, lo=5, hi=9000
    ),
    "rescale_up": programs.rescale(("int8", "int16"), ONE * 2 - 1, 1),
    "rescale_int32": programs.rescale(("int32", "int16"), ONE + 12345, 40),
    "rescale_to_int32": programs.rescale(("int16", "int32"), ONE, 1),
    "rescale_int32_down": programs.rescale(("int32", "int32"), ONE * 2 - 1, 47),
    "add": programs.addition("int8", "int8", "int8"),
    "add_mixed": programs.addition("int8", "int16", "int16"),
    "add_to_int32": programs.addition("int16", "int16", "int32"),
    "concat_and_slice": programs.concat_and_slice(RNG),
    "network": programs.small_network(RNG),
    "network_tall": programs.small_network(RNG, 22, 2),
} | {
    name: programs.convolution(np.random.default_rng(11), **values)
    for name, values in CONVOLUTIONS.items()
}


@pytest.mark.parametrize("graph", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_every_operator_gives_the_reference_s_integers(graph: Graph, tmp_path):
    path = tmp_path / "model.onnx"
    model = export_integer(graph, path, {"stage": "int_infer"})
    comparisons = check_integer(path, graph, np.random.default_rng(2))
    assert len(comparisons) == 2 * len(graph.outputs)
    assert all(comparison.values > 0 for comparison in comparisons)
    assert [c for c in comparisons if c.differing or c.largest_difference] == []
    assert no_floats(model)


def no_floats(model: onnx.ModelProto) -> bool:
    """No constant, input, output or inner tensor is floating point, and all types are known."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {info.name: info.type.tensor_type.elem_type for info in graph.value_info}
    types |= {info.name: info.type.tensor_type.elem_type for info in (*graph.input, *graph.output)}
    types |= {constant.name: constant.data_type for constant in graph.initializer}
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    assert names <= set(types)
    integers = {
        getattr(onnx.TensorProto, sign + "INT" + bits)
        for sign in ("", "U")
        for bits in ("8", "16", "32", "64")
    }
    return set(types.values()) <= integers


def test_inputs_and_outputs_have_the_program_s_names_types_and_size(tmp_path):
    graph = PROGRAMS["network"]
    model = export_integer(graph, tmp_path / "model.onnx", {"stage": "int_infer", "epe": "1.5"})
    assert onnx.load(tmp_path / "model.onnx") == model
    (image,), (flow,) = model.graph.input, model.graph.output
    assert (image.name, flow.name) == ("img", "large")
    assert image.type.tensor_type.elem_type == onnx.TensorProto.INT8
    assert flow.type.tensor_type.elem_type == onnx.TensorProto.INT32
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 6, 8, 12]
    assert [d.dim_value for d in flow.type.tensor_type.shape.dim] == [1, 2, 8, 12]
    assert {p.key: p.value for p in model.metadata_props} == {"stage": "int_infer", "epe": "1.5"}


def test_the_given_inputs_are_the_ones_that_are_compared(tmp_path):
    graph = PROGRAMS["add"]
    export_integer(graph, tmp_path / "model.onnx")
    inputs = [{name: np.full((1, 3, 5, 3), value) for name in "ab"} for value in (-128, 0, 127)]
    comparisons = check_integer(tmp_path / "model.onnx", graph, inputs)
    assert [(c.input, c.output, c.values, c.differing) for c in comparisons] == [
        (0, "y", 45, 0),
        (1, "y", 45, 0),
        (2, "y", 45, 0),
    ]


def test_a_difference_is_found(tmp_path):
    graph = PROGRAMS["rescale"]
    export_integer(graph, tmp_path / "model.onnx")
    other = programs.rescale(("int8", "int8"), 15_000_001, 24)
    comparison, _ = check_integer(tmp_path / "model.onnx", other, np.random.default_rng(0))
    assert 0 < comparison.differing < comparison.values
    assert comparison.largest_difference == 8


def test_a_cost_volume_takes_few_nodes(tmp_path):
    model = export_integer(PROGRAMS["correlation"], tmp_path / "model.onnx")
    assert len(model.graph.node) < 90


def test_a_file_that_cannot_be_written_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        export_integer(PROGRAMS["add"], tmp_path / "missing" / "model.onnx")
    old = tmp_path / "old.onnx"
    old.mkdir()
    with pytest.raises(InputError, match="cannot write"):
        export_integer(PROGRAMS["add"], old)
    assert [path.name for path in tmp_path.iterdir()] == ["old.onnx"]


def test_a_file_that_is_no_model_is_an_input_error(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot load"):
        check_integer(path, PROGRAMS["add"], np.random.default_rng(0))


def test_an_unknown_operator_is_an_input_error(tmp_path):
    graph = PROGRAMS["add"]
    node = Node("softmax", "last", ("a",), "y", {})
    bad = Graph("bad", graph.tensors, (node,), graph.inputs, graph.outputs, {})
    with pytest.raises(InputError, match="softmax"):
        export_integer(bad, tmp_path / "model.onnx")


def test_a_program_does_without_onnx():
    code = "import sys, horizon.hbir; sys.exit(bool({'onnx', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
