"""QuantizeLinear/DequantizeLinear files give the program's values, but for roundings."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from horizon.errors import InputError
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from tests.horizon.hbir import onnx_programs as programs
from tests.horizon.hbir.test_onnx_integer import PROGRAMS

# An int32 tensor does not saturate in this form; these programs' do.
SATURATING = {"rescale_to_int32"}
# Steps of int32 are finer than a float32 sum, or than the int16 steps before it.
STEPS = {"int32_out": 4, "network": 200, "network_tall": 200}


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - SATURATING))
def test_values_are_the_program_s_within_roundings(name, tmp_path):
    graph = PROGRAMS[name]
    export_qdq(graph, tmp_path / "model.onnx")
    for comparison in check_qdq(tmp_path / "model.onnx", graph, np.random.default_rng(2)):
        assert comparison.values > 0
        # One rounding: one step, and for few values.
        assert comparison.largest_steps < STEPS.get(name, 1.01)
        if name not in STEPS:
            assert comparison.differing <= 0.05 * comparison.values


def test_a_network_s_result_is_close_in_real_units(tmp_path):
    graph = PROGRAMS["network"]
    export_qdq(graph, tmp_path / "model.onnx")
    for comparison in check_qdq(tmp_path / "model.onnx", graph, np.random.default_rng(3)):
        assert comparison.output == "large"
        assert comparison.largest_difference < 4e-3


def constant_of(model: onnx.ModelProto, name: str) -> np.ndarray:
    (found,) = (c for c in model.graph.initializer if c.name == name)
    return numpy_helper.to_array(found)


def test_a_convolution_has_the_form_that_tools_read(tmp_path):
    graph = programs.convolution(np.random.default_rng(0), (1, 4, 5, 3), 4, relu=True)
    model = export_qdq(graph, tmp_path / "model.onnx")
    quantise, activation, weight, bias, conv, relu, *_ = model.graph.node
    operators = [node.op_type for node in model.graph.node]
    assert sorted(operators[1:4]) == ["DequantizeLinear"] * 3
    assert operators[4:] == ["Conv", "Relu", "QuantizeLinear", "DequantizeLinear", "Identity"]
    assert list(conv.input) == [activation.output[0], weight.output[0], bias.output[0]]
    assert constant_of(model, activation.input[1]) == np.float32(1 / 64)
    assert constant_of(model, activation.input[2]).dtype == np.int8
    assert (quantise.op_type, relu.op_type) == ("QuantizeLinear", "Relu")

    values = graph.nodes[0].attributes
    integers, scales = (constant_of(model, name) for name in weight.input)
    assert integers.dtype == np.int8
    assert (integers == values["weight"].transpose(0, 3, 1, 2)).all()
    step = values["multiplier"] * 2.0 ** -values["shift"] / 16
    assert scales == pytest.approx(step * 64)
    integers, scales = (constant_of(model, name) for name in bias.input)
    assert integers.dtype == np.int32
    assert (integers == values["bias"]).all()
    assert scales == pytest.approx(step)


def test_a_tensor_with_a_scale_per_channel_enters_a_convolution_as_its_integers(tmp_path):
    graph = PROGRAMS["concat_and_slice"]
    model = export_qdq(graph, tmp_path / "model.onnx")
    (conv,) = (node for node in model.graph.node if node.op_type == "Conv")
    makers = {node.output[0]: node for node in model.graph.node}
    activation, weight, _ = (makers[name] for name in conv.input)
    assert constant_of(model, activation.input[1]) == 1
    assert constant_of(model, weight.input[1]).shape == (3,)
    # As an output of the network it is real.
    twice = makers[makers["twice"].input[0]]
    assert constant_of(model, twice.input[1]) == pytest.approx([1 / 50, 1 / 50, 1 / 9, 1 / 9])


def test_inputs_and_outputs_are_real_numbers_under_the_program_s_names(tmp_path):
    model = export_qdq(PROGRAMS["network"], tmp_path / "model.onnx", {"stage": "qat"})
    assert onnx.load(tmp_path / "model.onnx") == model
    (image,), (flow,) = model.graph.input, model.graph.output
    assert (image.name, flow.name) == ("img", "large")
    for info in (image, flow):
        assert info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 6, 8, 12]
    assert {p.key: p.value for p in model.metadata_props} == {"stage": "qat"}


@pytest.mark.parametrize("opset", [20, 21, 22, 23])
def test_opsets(opset, tmp_path):
    graph = PROGRAMS["concat_and_slice"]
    model = export_qdq(graph, tmp_path / "model.onnx", opset=opset)
    assert model.opset_import[0].version == opset
    comparisons = check_qdq(tmp_path / "model.onnx", graph, np.random.default_rng(0))
    assert max(comparison.largest_steps for comparison in comparisons) < 1.01


@pytest.mark.parametrize(("name", "opset"), [("residual_int16", 20), ("add", 19), ("add", 99)])
def test_an_opset_that_lacks_what_is_needed_is_an_input_error(name, opset, tmp_path):
    with pytest.raises(InputError, match=f"opset {opset}"):
        export_qdq(PROGRAMS[name], tmp_path / "model.onnx", opset=opset)
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_found(tmp_path):
    export_qdq(PROGRAMS["rescale"], tmp_path / "model.onnx")
    other = programs.rescale(("int8", "int8"), 15_000_001, 24)
    comparison, _ = check_qdq(tmp_path / "model.onnx", other, np.random.default_rng(0))
    assert 0 < comparison.differing < comparison.values
    assert comparison.largest_steps == pytest.approx(8)
    assert comparison.largest_difference == pytest.approx(8 / 64)
