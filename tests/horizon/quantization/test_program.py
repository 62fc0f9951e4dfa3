"""The integer model: saved, loaded, run on other sizes, and integers throughout."""

from __future__ import annotations

import copy
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from horizon.errors import InputError
from horizon.hbir import Graph, Node, TensorInfo, reference, resized
from horizon.hbir.graph import verify
from horizon.quantization import (
    IntegerModel,
    convert,
    output_integers,
    program_graph,
    program_state,
    trace,
)
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.stubs import QuantizedStub
from tests.horizon.quantization.small_models import (
    calibrated,
    images,
    odd_net,
    stub_integers,
    to_nchw,
)

CONCATS = ["fold", "requantise"]


@pytest.fixture(scope="module", params=CONCATS)
def converted(request) -> nn.Module:
    x = images(3, 8, 12)
    return convert(calibrated(odd_net(size_multiple=4, concat=request.param), x))


@pytest.fixture(scope="module")
def graph(converted) -> Graph:
    return trace(converted)


def saved_and_loaded(graph: Graph) -> Graph:
    file = io.BytesIO()
    torch.save(program_state(graph), file)
    file.seek(0)
    return program_graph(torch.load(file, weights_only=True))


def test_round_trip_through_a_file(graph):
    loaded = saved_and_loaded(graph)
    assert loaded == graph
    assert program_graph(program_state(graph)) == graph


def test_a_changed_program_is_another(graph):
    state = copy.deepcopy(program_state(graph))
    attributes = next(node[4] for node in state["nodes"] if node[0] == "conv2d")
    attributes["bias"][0] += 1
    assert program_graph(state) != graph


def test_a_state_is_its_own(graph):
    """What is saved does not change with the program, nor the other way round."""
    state = program_state(graph)
    attributes = next(node[4] for node in state["nodes"] if node[0] == "conv2d")
    attributes["bias"] += 1
    assert program_graph(program_state(graph)) != program_graph(state)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(4, 4), (8, 12), (1, 1), (5, 7), (3, 33)])
def test_integers_of_any_size_are_those_of_the_converted_model(converted, graph, batch, size):
    x = images(batch, *size, seed=2)
    model = IntegerModel(saved_and_loaded(graph))
    (expected,) = output_integers(converted, x)
    found = model.integers(x)
    assert found.dtype == torch.int32
    assert torch.equal(found, expected)
    assert torch.equal(model(x), converted(x))
    assert torch.equal(model({"img": x}), converted(x))
    assert model(x).shape == (batch, 2, *size)


@pytest.mark.parametrize("size", [(4, 4), (8, 12)])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_tensor_is_the_reference_s_and_an_integer(graph, size, batch):
    x = images(batch, *size, seed=3)
    found = IntegerModel(graph).all_integers(x)
    other = resized(graph, batch, *size)
    expected = reference.run(other, {"img": stub_integers(x, 1 / 128)}, keep_all=True)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        kind = graph.tensors[name].dtype
        assert values.dtype == getattr(torch, kind), name
        assert kind in ("int8", "int16", "int32")
        assert torch.equal(values.long(), to_nchw(expected[name])), name


@pytest.mark.parametrize("size", [(8, 12), (5, 7)])
def test_images_as_integers(graph, size):
    model = IntegerModel(graph)
    image = images(2, *size)
    integers = model.stub(image).values
    assert integers.dtype == torch.int8
    assert torch.equal(model.integers(integers), model.integers(image))
    assert torch.equal(model({"img": integers}), model(image))
    with pytest.raises(InputError, match=r"torch\.uint8 integers; expected torch\.int8"):
        model.integers(torch.zeros(1, image.shape[1], 8, 12, dtype=torch.uint8))


def test_extreme_images(graph):
    model = IntegerModel(graph)
    for value in (-128, 127, 1e6, -1e6):
        x = torch.full((1, 2, 8, 8), value / 128)
        other = resized(graph, 1, 8, 8)
        expected = reference.run(other, {"img": stub_integers(x, 1 / 128)})["flow"]
        assert torch.equal(model.integers(x).long(), to_nchw(expected))


def test_there_is_no_float_in_the_program(graph):
    """A walk through tensors, nodes and attributes."""

    def check(value: object) -> None:
        if isinstance(value, np.ndarray):
            assert value.dtype in (np.int8, np.int32, np.int64)
        elif isinstance(value, tuple):
            for part in value:
                check(part)
        else:
            assert isinstance(value, int | np.integer)
            assert not isinstance(value, bool)

    assert {info.dtype for info in graph.tensors.values()} <= {"int8", "int16", "int32"}
    for node in graph.nodes:
        for value in node.attributes.values():
            check(value)
    index = next(i for i, n in enumerate(graph.nodes) if n.op == "conv2d")
    node = graph.nodes[index]
    wrong = {**node.attributes, "bias": node.attributes["bias"].astype(np.float32)}
    nodes = (*graph.nodes[:index], replace(node, attributes=wrong), *graph.nodes[index + 1 :])
    with pytest.raises(InputError, match="bias is float32 array"):
        verify(replace(graph, nodes=nodes))


def test_the_layers_exchange_integers_only(graph):
    model = IntegerModel(graph)
    seen: list[torch.dtype] = []

    def hook(_: nn.Module, inputs: tuple, result: object) -> None:
        tensors = [t for x in inputs for t in (x if isinstance(x, list) else [x])]
        seen.extend(t.values.dtype for t in [*tensors, result] if hasattr(t, "values"))

    for layer in model.layers:
        layer.register_forward_hook(hook)
    model(images(1, 8, 8))
    assert {torch.int8, torch.int16, torch.int32} == set(seen)
    assert sum(isinstance(m, QuantizedLayer) for m in model.layers) > 10
    saved = [b for b in model.state_dict().values() if b.is_floating_point() and b.numel() > 2]
    assert all(b.dim() <= 1 for b in saved)  # scales, and no weights


def test_a_loaded_model_has_no_parameters_and_says_what_it_is(graph):
    model = IntegerModel(graph)
    assert not list(model.parameters())
    assert not model.training
    text = model.summary()
    assert "int8 weights" in text
    assert "1 warp" in text
    assert "output flow: int32" in text


def test_an_output_that_another_layer_reads_is_kept():
    shape = (1, 2, 2, 1)
    tensors = {name: TensorInfo(name, shape, "int8", (1.0,)) for name in ("img", "flow", "unused")}
    relu = {"multiplier": 2**23, "shift": 23, "lo": 0, "hi": 127}
    nodes = (
        Node("rescale", "relu", ("img",), "flow", relu),
        Node("rescale", "again", ("flow",), "unused", relu),
    )
    graph = Graph("kept", tensors, nodes, ("img",), ("flow",), {})
    x = torch.tensor([-3.0, 4.0, 5.0, -6.0]).view(1, 1, 2, 2)
    assert IntegerModel(graph).integers(x).flatten().tolist() == [0, 4, 5, 0]


def test_limits_of_a_sum_and_ratios_of_channels_are_the_program_s():
    """What conversion does not write, and a program may have all the same."""
    shape = (1, 2, 3, 2)
    tensors = {name: TensorInfo(name, shape, "int8", (1.0,)) for name in ("img", "scaled", "flow")}
    ratios = {"multiplier": np.array([2**23, 3 * 2**22]), "shift": np.array([24, 23])}
    total = {"multiplier_a": 2**23, "multiplier_b": 2**22, "shift": 23, "lo": 0, "hi": 50}
    nodes = (
        Node("rescale", "scale", ("img",), "scaled", {**ratios, "lo": -100, "hi": 90}),
        Node("add", "sum", ("scaled", "img"), "flow", total),
    )
    graph = Graph("by hand", tensors, nodes, ("img",), ("flow",), {})
    x = images(1, 2, 3) * 128
    found = IntegerModel(graph).all_integers(x)
    expected = reference.run(graph, {"img": stub_integers(x, 1.0)}, keep_all=True)
    for name, values in expected.items():
        assert torch.equal(found[name].long(), to_nchw(values)), name
    assert set(found["flow"].unique().tolist()) >= {0, 50}


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 4, 4), (1, 4, 4, 2)])
def test_images_of_another_shape_are_errors(graph, shape):
    with pytest.raises(InputError, match=r"img: expected \(N, 2, H, W\)"):
        IntegerModel(graph)(torch.zeros(shape))


def test_states_that_are_no_programs_are_errors(graph):
    with pytest.raises(InputError, match="version None"):
        program_graph({})
    state = program_state(graph)
    with pytest.raises(InputError, match="version 99"):
        program_graph({**state, "version": 99})
    with pytest.raises(InputError, match="not a program"):
        program_graph({k: v for k, v in state.items() if k != "nodes"})
    with pytest.raises(InputError, match="not a program"):
        program_graph({**state, "tensors": [["img"]]})
    with pytest.raises(InputError):
        program_graph({**state, "nodes": state["nodes"][:-1]})


def test_several_outputs_come_by_name(graph):
    model = IntegerModel(replace(graph, outputs=(*graph.outputs, "stem")))
    x = images(1, *graph.tensors[graph.inputs[0]].shape[1:3])
    found = model.integers(x)
    assert list(found) == [*graph.outputs, "stem"]
    assert torch.equal(found["stem"], model.all_integers(x)["stem"])
    assert torch.equal(found[graph.outputs[0]], IntegerModel(graph).integers(x))
    assert [tuple(v.shape) for v in model(x).values()] == [tuple(v.shape) for v in found.values()]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_input_that_is_not_finite_is_refused(value: float) -> None:
    stub = QuantizedStub("img", torch.tensor(1 / 128), 8)
    image = torch.zeros(1, 3, 4, 4)
    assert stub(image).values.eq(0).all()
    image[0, 1, 2, 3] = value
    with pytest.raises(InputError, match=r"img: .*NaN or infinite"):
        stub(image)
