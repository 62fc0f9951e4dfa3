"""The checks of a program, one broken program after the other, and other sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from horizon.errors import InputError
from horizon.hbir.graph import Graph, resized, verify
from horizon.hbir.node import Node
from horizon.hbir.operators import OPERATORS
from horizon.hbir.reference import run
from tests.horizon.hbir.programs import conv_attributes, conv_program, one_node, pyramid, tensor


def changed(graph: Graph, layer: str, **attributes) -> Graph:
    """``graph`` with other attributes of one node; None removes one."""
    nodes = []
    for node in graph.nodes:
        if node.name == layer:
            new = {**node.attributes, **attributes}
            node = replace(node, attributes={k: v for k, v in new.items() if v is not None})
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def renamed(graph: Graph, layer: str, **fields) -> Graph:
    """``graph`` with other fields of one node."""
    nodes = tuple(replace(n, **fields) if n.name == layer else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


def with_tensor(graph: Graph, name: str, /, **fields) -> Graph:
    return replace(graph, tensors={**graph.tensors, name: replace(graph.tensors[name], **fields)})


GRAPH = pyramid()
DOWN = next(node for node in GRAPH.nodes if node.name == "down.0").attributes
INT64 = np.int64


def test_a_good_program_passes():
    verify(GRAPH)
    assert pyramid() == GRAPH
    assert changed(GRAPH, "down.0", lo=1) != GRAPH
    assert changed(GRAPH, "down.0", bias=DOWN["bias"] + 1) != GRAPH
    assert GRAPH.nodes[0] != "slice"


BAD_ATTRIBUTES = {
    "overflow": ({"bias": np.full(5, 2**28, np.int32)}, "accumulator of output channel 1 can"),
    "overflow_negative": ({"bias": np.full(5, -(2**31), np.int32)}, "accumulator"),
    "shift_0": ({"shift": np.array([30, 0, 30, 30, 30])}, r"shift 0..30; expected 1..47"),
    "shift_48": ({"shift": np.full(5, 48)}, "shift 48..48"),
    "multiplier_25_bits": ({"multiplier": np.full(5, 2**24 + 1)}, "multiplier has values"),
    "multiplier_negative": ({"multiplier": np.full(5, -1)}, "multiplier has values"),
    "multiplier_shape": ({"multiplier": np.full(4, 2**23)}, r"multiplier has shape \(4,\)"),
    "float_weight": ({"weight": DOWN["weight"].astype(np.float32)}, "weight is float32 array"),
    "float_bias": ({"bias": DOWN["bias"].astype(np.float64)}, "bias is float64 array"),
    "float_shift": ({"shift": DOWN["shift"].astype(np.float64)}, "shift is float64 array"),
    "float_int": ({"lo": 0.0}, "lo is 0.0"),
    "bool_int": ({"lo": False}, "lo is False"),
    "float_pair": ({"stride": (2.0, 2)}, "stride is"),
    "list_pair": ({"stride": [2, 2]}, "stride is"),
    "wide_weight": ({"weight": DOWN["weight"].astype(np.int16)}, "weight is int16 array"),
    "weight_-128": ({"weight": np.full((5, 3, 3, 3), -128, np.int8)}, "weight of -128"),
    "weight_channels": ({"weight": np.zeros((5, 3, 3, 2), np.int8)}, "weight of shape"),
    "weight_axes": ({"weight": np.zeros((5, 27), np.int8)}, "weight has shape"),
    "weight_empty": ({"weight": np.zeros((5, 0, 3, 3), np.int8)}, "weight has shape"),
    "bias_shape": ({"bias": np.zeros(4, np.int32)}, "bias has shape"),
    "groups": ({"groups": 2}, "groups 2"),
    "stride_0": ({"stride": (0, 1)}, "stride"),
    "padding_negative": ({"padding": (1, -1)}, "padding"),
    "end_padding_negative": ({"end_padding": (-1, 0)}, "end_padding"),
    "end_padding_of_one": ({"end_padding": 1}, "end_padding"),
    "dilation_0": ({"dilation": (0, 1)}, "dilation"),
    "kernel_too_large": ({"dilation": (20, 1)}, "at least one pixel"),
    "lo_out_of_range": ({"lo": -129}, "lo -129"),
    "hi_out_of_range": ({"hi": 128}, "hi 128"),
    "lo_above_hi": ({"lo": 5, "hi": 4}, "lo 5, hi 4"),
    "missing": ({"bias": None}, "no attribute 'bias'"),
    "unknown": ({"bais": 3}, "attribute 'bais'"),
    "residual_without_input": ({"residual_multiplier": np.zeros(5, INT64)}, "second input"),
    "output_shape": ({"stride": (1, 1)}, r"output features has shape \(2, 4, 6, 5\)"),
}


@pytest.mark.parametrize(("attributes", "match"), BAD_ATTRIBUTES.values(), ids=BAD_ATTRIBUTES)
def test_a_bad_attribute_names_the_layer(attributes, match):
    with pytest.raises(InputError, match=rf"layer down.0.*{match}"):
        verify(changed(GRAPH, "down.0", **attributes))


BAD_TRANSPOSED = {
    "more_than_the_stride": ({"output_padding": (2, 0)}, r"output_padding \(2, 0\).*stride"),
    "negative": ({"output_padding": (0, -1)}, "output_padding"),
    "of_one": ({"output_padding": 1}, "output_padding"),
    "groups": ({"groups": 2}, "groups 2; expected a divisor of 5 inputs"),
    "no_groups": ({"groups": 0}, "groups 0"),
    "weights_of_all": ({"groups": 1, "weight": np.zeros((2, 4, 4, 1), np.int8)}, "weight of shape"),
    "dilation": ({"dilation": (1, 1)}, "attribute 'dilation'"),
    "output_shape": ({"output_padding": (1, 1)}, "output out has shape"),
}


@pytest.mark.parametrize(("attributes", "match"), BAD_TRANSPOSED.values(), ids=BAD_TRANSPOSED)
def test_a_bad_attribute_of_a_transposed_convolution(attributes, match):
    with pytest.raises(InputError, match=rf"layer up.*{match}"):
        verify(changed(GRAPH, "up", **attributes))


OTHERS = {
    "concat_axis": (changed(GRAPH, "stack", axis=4), "stack.*axis 4"),
    "slice_empty": (changed(GRAPH, "s1", stop=0), "s1.*start 0, stop 0"),
    "slice_too_far": (changed(GRAPH, "s2", stop=7), "s2.*stop 7"),
    "correlation_negative": (changed(GRAPH, "corr", max_displacement=-1), "corr.*displacement"),
    "correlation_shift": (changed(GRAPH, "corr", shift=48), "corr.*shift"),
    "warp_shift_48": (changed(GRAPH, "warp", offset_shift=48), "warp.*offset_shift"),
    "warp_shift_less_bits": (changed(GRAPH, "warp", offset_shift=8), "warp.*8 fraction bits"),
    "up_weight": (changed(GRAPH, "up", weight=np.zeros((2, 4, 4, 3), np.int8)), "up.*weight"),
    "unknown_op": (renamed(GRAPH, "up", op="softmax"), "up.*unknown operator"),
    "no_inputs": (renamed(GRAPH, "up", inputs=()), "up.*0 inputs"),
    "too_many_inputs": (renamed(GRAPH, "warp", inputs=("f2", "flow", "f1")), "warp.*3 inputs"),
    "unknown_input": (renamed(GRAPH, "up", inputs=("nothing",)), "'nothing'"),
    "unknown_output": (renamed(GRAPH, "up", output="nothing"), "'nothing'"),
    "made_twice": (renamed(GRAPH, "up", output="flow"), "up.*makes flow"),
    "same_name": (renamed(GRAPH, "up", name="warp"), "warp.*unique"),
    "own_output": (renamed(GRAPH, "up", inputs=("out",)), "up.*before it is made"),
    "order": (replace(GRAPH, nodes=GRAPH.nodes[::-1]), "before it is made"),
    "node_missing": (replace(GRAPH, nodes=GRAPH.nodes[:-1]), "no node makes tensor out"),
    "input_twice": (replace(GRAPH, inputs=("img", "img")), "img is there twice"),
    "input_unknown": (replace(GRAPH, inputs=("image",)), "'image' is an input"),
    "output_unknown_tensor": (replace(GRAPH, outputs=("flo",)), "'flo' is an output"),
    "no_output": (replace(GRAPH, outputs=()), "no outputs"),
    "scales": (with_tensor(GRAPH, "flow", scales=(1.0, 1.0, 1.0)), "flow: 3 scales"),
    "scales_empty": (with_tensor(GRAPH, "flow", scales=()), "flow: 0 scales"),
    "scale_0": (with_tensor(GRAPH, "flow", scales=(0.0,)), "flow: scales"),
    "scale_nan": (with_tensor(GRAPH, "flow", scales=(float("nan"),)), "flow: scales"),
    "dtype": (with_tensor(GRAPH, "flow", dtype="float32"), "flow: type 'float32'"),
    "shape_3": (with_tensor(GRAPH, "flow", shape=(4, 6, 2)), "flow: shape"),
    "shape_0": (with_tensor(GRAPH, "flow", shape=(0, 4, 6, 2)), "flow: shape"),
    "tensor_name": (with_tensor(GRAPH, "flow", name="flo"), "flow: its name is 'flo'"),
    "offset_int8": (
        changed(with_tensor(GRAPH, "flow", dtype="int8"), "predict", lo=-128, hi=127),
        "warp.*flow is int8; expected int16",
    ),
    "warp_widens": (with_tensor(GRAPH, "warped", dtype="int16"), "warp.*the feature's int8"),
    "slice_changes_type": (with_tensor(GRAPH, "one", dtype="int16"), "s1.*one type"),
    "warp_shape": (with_tensor(GRAPH, "warped", shape=(1, 4, 6, 4)), "warp.*expected.*4, 6, 5"),
}


@pytest.mark.parametrize(("graph", "match"), OTHERS.values(), ids=OTHERS)
def test_a_bad_program_names_the_place(graph, match):
    with pytest.raises(InputError, match=match):
        verify(graph)
    with pytest.raises(InputError, match=match):
        run(graph, {})


def test_operands_of_different_shapes():
    a, b = tensor("a", (1, 2, 3, 4)), tensor("b", (1, 2, 2, 4))
    limits = {"lo": -128, "hi": 127}
    ratio = {"multiplier": 2**23, "shift": 30, **limits}
    add = {"multiplier_a": 1, "multiplier_b": 1, "shift": 3, **limits}
    for op, attributes, channels in (
        ("correlation", {"max_displacement": 0, **ratio}, 1),
        ("add", add, 4),
        ("concat", {"axis": 3}, 8),
    ):
        with pytest.raises(InputError, match=rf"\({op}\).*shapes"):
            verify(one_node(op, [a, b], tensor("y", (1, 2, 3, channels)), attributes))
    offset = tensor("b", (1, 2, 3, 3), "int16")
    attributes = {"offset_multiplier": 2**23, "offset_shift": 31}
    graph = one_node("warp", [a, offset], tensor("y", a.shape), attributes)
    with pytest.raises(InputError, match="offset of shape"):
        verify(graph)


def test_a_wide_correlation_could_overflow():
    ratio = {"max_displacement": 0, "multiplier": 2**23, "shift": 40, "lo": 0, "hi": 127}
    for channels, fits in ((2**14 - 1, True), (2**14, False)):
        a, b = (tensor(name, (1, 1, 1, channels)) for name in "ab")
        graph = one_node("correlation", [a, b], tensor("y", (1, 1, 1, 1)), ratio)
        if fits:
            verify(graph)
        else:
            with pytest.raises(InputError, match=r"layer layer.*accumulator"):
                verify(graph)


def test_a_residual_is_checked():
    rng = np.random.default_rng(0)
    attributes = conv_attributes(rng, "conv2d", (3, 3, 3, 3), "int8", True)
    good = conv_program("conv2d", (1, 4, 5, 3), attributes, "int8", "int8", "int16")
    verify(good)
    with pytest.raises(InputError, match="residual of shape"):
        verify(with_tensor(good, "residual", shape=(1, 4, 5, 1)))
    with pytest.raises(InputError, match="second input"):
        verify(changed(good, "layer", residual_multiplier=None))
    with pytest.raises(InputError, match="residual is int32"):
        verify(with_tensor(good, "residual", dtype="int32"))
    with pytest.raises(InputError, match="residual_multiplier has values"):
        verify(changed(good, "layer", residual_multiplier=np.full(3, 2**24 + 1)))


BAD_INPUTS = {
    "missing": ({}, "inputs"),
    "unknown": ({"img": np.zeros((1, 8, 12, 6), int), "x": np.zeros(1, int)}, "'x'"),
    "shape": ({"img": np.zeros((1, 8, 12, 5), int)}, "input img: shape"),
    "float": ({"img": np.zeros((1, 8, 12, 6))}, "input img: float64"),
    "range": ({"img": np.full((1, 8, 12, 6), 128)}, "input img: values 128..128"),
    "range_below": ({"img": np.full((1, 8, 12, 6), -129)}, "input img: values -129"),
}


@pytest.mark.parametrize(("inputs", "match"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_inputs_of_the_executor(inputs, match):
    with pytest.raises(InputError, match=match):
        run(GRAPH, inputs)


def test_the_executor_finds_an_overflow_that_no_proof_has_excluded():
    rng = np.random.default_rng(0)
    attributes = conv_attributes(rng, "conv2d", (1, 1, 1, 1), "int8", False, padding=(0, 0))
    attributes |= {
        "bias": np.array([2**28 - 1], np.int32),
        "weight": np.ones((1, 1, 1, 1), np.int8),
    }
    node = Node("conv2d", "wide", ("x",), "y", attributes)
    with pytest.raises(InputError, match=r"layer wide.*accumulator"):
        OPERATORS["conv2d"].run(node, [np.ones((1, 1, 1, 1), np.int64)])


def image(batch: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(9)
    return rng.integers(-128, 128, (batch, height, width, 6))


def test_the_executor_returns_outputs_or_everything():
    inputs = {"img": image(1, 8, 12)}
    outputs, everything = run(GRAPH, inputs), run(GRAPH, inputs, keep_all=True)
    assert list(outputs) == ["out", "flow"]
    assert set(everything) == set(GRAPH.tensors)
    for name, values in everything.items():
        assert values.dtype == np.int64
        assert values.shape == GRAPH.tensors[name].shape
    np.testing.assert_array_equal(outputs["out"], everything["out"])
    assert np.unique(outputs["out"]).size > 50


def test_another_batch_gives_each_image_s_result():
    images = image(3, 8, 12)
    together = run(resized(GRAPH, 3, 8, 12), {"img": images})
    for index in range(3):
        alone = run(GRAPH, {"img": images[index : index + 1]})
        for name in GRAPH.outputs:
            np.testing.assert_array_equal(together[name][index : index + 1], alone[name])


def test_another_size():
    graph = resized(GRAPH, 2, 4, 20)
    assert graph.tensors["img"].shape == (2, 4, 20, 6)
    assert graph.tensors["features"].shape == (4, 2, 10, 5)
    assert graph.tensors["out"].shape == (2, 4, 20, 2)
    assert run(graph, {"img": image(2, 4, 20)})["out"].shape == (2, 4, 20, 2)
    assert list(graph.tensors) == list(GRAPH.tensors)
    assert resized(graph, 1, 8, 12) == GRAPH
    assert resized(GRAPH, 1, 8, 12) == GRAPH


@pytest.mark.parametrize("size", [(1, 6, 12), (1, 8, 13), (0, 8, 12), (1, 0, 12), (1, 8, -4)])
def test_a_size_that_does_not_fit(size):
    with pytest.raises(InputError, match="multiples of 4"):
        resized(GRAPH, *size)


def test_a_batch_that_cannot_be_divided():
    pairs = resized(GRAPH, 2, 8, 12)
    x, y = tensor("x", (2, 1, 1, 1)), tensor("y", (1, 1, 1, 1))
    half = one_node("slice", [x], y, {"axis": 0, "start": 0, "stop": 1})
    with pytest.raises(InputError, match="choose a multiple of"):
        resized(half, 3, 1, 1)
    assert resized(pairs, 3, 8, 12).tensors["both"].shape[0] == 6
