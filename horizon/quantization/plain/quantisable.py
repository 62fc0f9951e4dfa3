"""A network as it was trained, in the form that preparing it for fixed point takes.

Its graph is traced; each place gets a layer of its own, linear layers become convolutions, what
belongs together is fused, and stubs stand where tensors enter and leave. What this changes are
layers, not results: the output is compared with the network's.
"""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from horizon.errors import InputError
from horizon.hbir.graph import ONE_SIZE
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization.copies import copied
from horizon.quantization.fuse import CONVOLUTIONS, FusedConv
from horizon.quantization.layers import stubs
from horizon.quantization.plain.channels_last import move_channels_first
from horizon.quantization.plain.concats import give_one_scale
from horizon.quantization.plain.constants import fold_constants, fold_sizes, take_constants
from horizon.quantization.plain.flat import use_maps
from horizon.quantization.plain.functional_layers import use_layers
from horizon.quantization.plain.global_pools import use_global_pools
from horizon.quantization.plain.in_place import use_results
from horizon.quantization.plain.keep_axes import keep_axes
from horizon.quantization.plain.largest import use_amax, use_clamps
from horizon.quantization.plain.output_sizes import fix_output_sizes
from horizon.quantization.plain.own_layers import own_layers
from horizon.quantization.plain.parametrised import use_parameters
from horizon.quantization.plain.patterns import fuse_graph
from horizon.quantization.plain.sizes import computes_with_sizes
from horizon.quantization.plain.stacks import use_operands
from horizon.quantization.plain.tail import find_tail, refuse_joins
from horizon.quantization.plain.ties import tell_ties
from horizon.quantization.plain.tracing import (
    add_layer,
    is_real,
    keep_lines,
    layer_of,
    shape_of,
    traced,
)
from horizon.quantization.plain.warps import use_warps
from horizon.quantization.plain.wide import widen_offsets
from horizon.quantization.plain.zeros import leave_zeros_out
from horizon.quantization.qconfig import get_default_qat_out_qconfig, get_default_qat_qconfig
from horizon.quantization.same_output import check_same_output

STUBS = (*stubs.QUANT.modules, *stubs.DEQUANT.modules)


def check_bare(model: nn.Module) -> None:
    """InputError for what wraps a network so that its graph cannot be seen."""
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inside = "the network in it, its attribute module"
    elif isinstance(model, torch.jit.ScriptModule):
        inside = "the network that it was made of, before torch.jit"
    elif hasattr(model, "_orig_mod"):
        inside = "the network that it was made of, before torch.compile"
    else:
        return
    raise InputError(f"prepare: found a {type(model).__name__}; expected {inside}")


def is_plain(model: nn.Module) -> bool:
    """Whether nothing in a network speaks of quantisation."""
    return not any(
        isinstance(module, STUBS) or getattr(module, "qconfig", None) is not None
        for module in model.modules()
    )


def quantisable(model: nn.Module, example: Any) -> fx.GraphModule:
    """A copy of a plain float network that ``prepare_calibration`` and ``prepare_qat`` take.

    Args:
        model: without stubs and qconfigs; it is left alone.
        example: an input of it, of the size that linear layers need.

    Returns:
        The traced network: convolutions fused with normalisations, sums and activations, stubs at
        its inputs and outputs, a qconfig: int8, and int32 for convolutions whose result leaves it.

    Raises:
        InputError: the graph cannot be traced, or nothing in it can be quantised.
    """
    check_bare(model)
    training = model.training
    tell_ties(model)
    own = copied(model).eval()
    use_parameters(own)
    module = traced(own, example)
    use_results(module)
    one_size = use_warps(module)
    leave_zeros_out(module)
    setattr(module, ONE_SIZE, one_size or module.decided or computes_with_sizes(module))
    fold_sizes(module)
    behind = find_tail(module)
    fix_output_sizes(module)
    use_clamps(module)
    use_layers(module)
    use_amax(module)
    use_global_pools(module)
    use_operands(module)
    take_constants(module)
    keep_axes(module)
    own_layers(module)
    move_channels_first(module)
    take_constants(module)  # of channels that came last
    behind |= find_tail(module)  # what has brought them back
    maps = use_maps(module, behind)
    quantised = _add_stubs(module, behind)
    refuse_joins(module, quantised)
    _finish_outputs(module, maps, quantised, behind)
    module.graph.eliminate_dead_code()
    fold_constants(module)
    give_one_scale(module, behind)
    fuse_graph(module)
    widen_offsets(module)
    _delete_unused(module)
    module.graph.lint()
    module.recompile()
    check_same_output(model, module, example, "finding what to quantise")
    _give_qconfigs(module)
    keep_lines(module)
    for node in module.graph.nodes:
        node.meta.clear()
    return module.train(training)


def _add_stubs(module: fx.GraphModule, behind: set[str]) -> set[fx.Node]:
    """Put a QuantStub behind every input of real numbers; returns the nodes that are quantised."""
    graph = module.graph
    quantised: set[fx.Node] = set()
    inputs = {node for node in graph.nodes if node.op == "placeholder"}
    entering = [
        node
        for node in graph.nodes
        if is_real(node)
        and (node in inputs or (node.args and node.args[0] in inputs))
        # an element of a mapping or a sequence that is an input
        and (node in inputs or not is_real(node.args[0]))
    ]
    if not entering:
        raise InputError("prepare: no input of the network is a tensor of real numbers")
    for node in entering:
        _check_map(node)
        with graph.inserting_after(node):
            target = add_layer(module, f"{node.name}_quant", QuantStub())
            stub = graph.call_module(target, (node,))
        stub.meta["value"] = node.meta["value"]
        node.replace_all_uses_with(stub, delete_user_cb=lambda user, stub=stub: user is not stub)
        quantised.add(stub)
    for node in graph.nodes:
        fed = any(x in quantised for x in node.all_input_nodes)
        if fed and (is_real(node) or _parts(node)) and node.name not in behind:
            quantised.add(node)
    return quantised


def _check_map(node: fx.Node) -> None:
    """InputError for an input that is no map."""
    shape = shape_of(node)
    if len(shape) == 4:
        return
    advice = {
        2: "give it as maps of one pixel, (N, C, 1, 1), and begin with x.flatten(1)",
        3: "give it as maps of one row, (N, C, 1, L), and use the layers for maps, nn.Conv2d with "
        "a kernel of 1xk for nn.Conv1d",
        5: "give it with its frames as channels, (N, T * C, H, W), and take them apart by slices, "
        "x.chunk(T, 1) or x.unflatten(1, (T, C))",
    }
    raise InputError(
        f"prepare: the input {node.name!r} is a tensor {shape}; expected a map (N, C, H, W): "
        f"{advice.get(len(shape), 'give it with these four axes')}"
    )


def _finish_outputs(
    module: fx.GraphModule,
    maps: dict[fx.Node, fx.Node],
    quantised: set[fx.Node],
    behind: set[str],
) -> None:
    """Put a DeQuantStub before everything that leaves the quantised part, flat where it was."""
    made: dict[fx.Node, Any] = {}
    given: set[fx.Node] = set()

    def leaving(user: fx.Node, node: fx.Node) -> Any:
        source = maps.get(node, node)
        if source not in quantised:
            return node
        if node not in made and _parts(node):
            with module.graph.inserting_before(user):
                parts = [
                    module.graph.call_function(operator.getitem, (node, i))
                    for i in range(_parts(node))
                ]
            for part, value in zip(parts, node.meta["value"], strict=True):
                part.meta["value"] = value
                quantised.add(part)
            made[node] = fx.map_arg(parts, partial(leaving, user))
        again = user.op == "output" and node in given  # an output of its own
        if user.op == "output":
            given.add(node)
        if node not in made or again:
            with module.graph.inserting_before(user):
                target = add_layer(module, f"{node.name}_dequant", DeQuantStub())
                made[node] = module.graph.call_module(target, (source,))
                if source is not node:
                    made[node] = module.graph.call_function(torch.flatten, (made[node], 1))
        return made[node]

    for user in list(module.graph.nodes):
        if user.op == "output" or (user not in quantised and user.name in behind):
            user.args = fx.map_arg(user.args, partial(leaving, user))


def _parts(node: fx.Node) -> int:
    """How many tensors of real numbers a node gives as a sequence; 0 where it gives none."""
    value = node.meta.get("value")
    if not isinstance(value, list | tuple):
        return 0
    return len(value) * all(isinstance(x, Tensor) and x.is_floating_point() for x in value)


def _delete_unused(module: fx.GraphModule) -> None:
    """Delete the layers, parameters and buffers that the graph neither uses nor has within one
    that it uses.
    """
    called = {str(n.target) for n in module.graph.nodes if n.op in ("call_module", "get_attr")}

    def is_used(name: str) -> bool:
        parts = name.split(".")
        inside = any(".".join(parts[:i]) in called for i in range(1, len(parts) + 1))
        return inside or any(target.startswith(f"{name}.") for target in called)

    for name, _ in reversed(list(module.named_modules())):
        if name and not is_used(name):
            module.delete_submodule(name)
    for name, _ in [*module.named_parameters(), *module.named_buffers()]:
        if not is_used(name):
            parent, _, last = name.rpartition(".")
            delattr(module.get_submodule(parent), last)


def _give_qconfigs(module: fx.GraphModule) -> None:
    setattr(module, "qconfig", get_default_qat_qconfig())  # noqa: B010
    nodes = module.graph.nodes
    leaving = {n.args[0] for n in nodes if isinstance(layer_of(module, n), DeQuantStub)}
    inside = {  # layers whose results not only stubs read; a stub's value is not noted
        node.target
        for node in nodes
        if node.op == "call_module" and (node not in leaving or any(map(is_real, node.users)))
    }
    for node in leaving:
        layer = layer_of(module, node)
        bare = isinstance(layer, CONVOLUTIONS) or (
            isinstance(layer, FusedConv) and layer.act is None
        )
        if bare and layer is not None and node.target not in inside:
            setattr(layer, "qconfig", get_default_qat_out_qconfig())  # noqa: B010
