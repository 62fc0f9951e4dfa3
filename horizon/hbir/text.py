"""A program as text for people, which reads back exactly with the constants beside it.

One line for each fact: the program's name, its attributes, inputs and outputs, then a line for each
node, ``operator layer (inputs) -> output: type shape scale ...; attribute=value; ...``. Scales that
repeat are written ``0.5*33``. An array of more than eight values shows its type, shape, range and
the start of its SHA-256 digest; its values are in :func:`constants`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np

from horizon.errors import InputError
from horizon.hbir.activations import FORM as ACTIVATION
from horizon.hbir.graph import Graph, verify
from horizon.hbir.node import Node, TensorInfo

VERSION = 1
INLINE_VALUES = 8
DIGEST_LENGTH = 16
NAME = r"[^\s,;:()=]+"
TENSOR = r"(int\d+) \((\d+), (\d+), (\d+), (\d+)\) scale ([^;]+)"
NODE = re.compile(rf"(\w+) ({NAME}) \(([^()]*)\) -> ({NAME}): {TENSOR}((?:; .*)?)")
INPUT = re.compile(rf"input ({NAME}): {TENSOR}")
ARRAY = re.compile(r"(int\d+) \(([\d, ]*)\) (?:\[([-\d ]*)\]|\S+ sha256 ([0-9a-f]+))")


def to_text(graph: Graph) -> str:
    """The program's text, ending in a newline.

    Raises:
        InputError: a name with white space or one of ``,;:()=``.
    """
    for name in (*graph.tensors, *(node.name for node in graph.nodes)):
        if not re.fullmatch(NAME, name):
            raise InputError(
                f"program {graph.name}: the name {name!r} cannot stand in a text; "
                "expected one without white space and without , ; : ( ) ="
            )
    lines = [f"program {json.dumps(graph.name)} version {VERSION}"]
    lines += [f"attribute {key} {json.dumps(value)}" for key, value in graph.attributes.items()]
    lines += [f"input {name}: {_tensor(graph.tensors[name])}" for name in graph.inputs]
    lines += [f"output {name}" for name in graph.outputs]
    for node in graph.nodes:
        head = f"{node.op} {node.name} ({', '.join(node.inputs)}) -> {node.output}"
        values = [f"{key}={_value(value)}" for key, value in node.attributes.items()]
        lines.append("; ".join([f"{head}: {_tensor(graph.tensors[node.output])}", *values]))
    return "\n".join(lines) + "\n"


def constants(graph: Graph) -> dict[str, np.ndarray]:
    """The arrays that the text shows only in summary, by ``layer:attribute``."""
    return {
        f"{node.name}:{key}": value
        for node in graph.nodes
        for key, value in node.attributes.items()
        if isinstance(value, np.ndarray) and value.size > INLINE_VALUES
    }


def parse_text(text: str, constants: Mapping[str, np.ndarray]) -> Graph:
    """The program of :func:`to_text` and :func:`constants`, verified.

    Raises:
        InputError: a line that is no part of a program; a constant that is missing, is not named in
            the text or is not the one that the text was made of; a program that ``verify`` refuses.
    """
    lines = text.splitlines()
    header = re.fullmatch(r'program (".*") version (\d+)', lines[0] if lines else "")
    if not header:
        found = lines[0] if lines else ""
        raise InputError(f'line 1: {found!r}; expected: program "name" version {VERSION}')
    if int(header[2]) != VERSION:
        raise InputError(
            f"line 1: program text of version {header[2]}, this program reads {VERSION}; "
            "install the version of horizon-flow that wrote it, or write it again with "
            "'hat export-network' (.npz) or 'hat compile-perf' (.hbir)"
        )
    tensors: dict[str, TensorInfo] = {}
    nodes: list[Node] = []
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, str | int] = {}
    used: set[str] = set()
    for number, line in enumerate(lines[1:], 2):
        where = f"line {number}"
        words = line.split(" ", 2)
        if words[0] == "attribute" and len(words) == 3:
            attributes[words[1]] = _json(words[2], where)
        elif words[0] == "output" and len(words) == 2:
            outputs.append(words[1])
        elif match := INPUT.fullmatch(line):
            tensors[match[1]] = _parse_tensor(match[1], match.groups()[1:], where)
            inputs.append(match[1])
        elif match := NODE.fullmatch(line):
            op, name, sources, output, *tensor, rest = match.groups()
            if output in tensors:
                raise InputError(f"{where}: {output} is there already; make each tensor once")
            tensors[output] = _parse_tensor(output, tensor, where)
            values = {}
            for item in rest.split("; ")[1:]:
                key, _, value = item.partition("=")
                values[key] = _parse_value(value, f"{name}:{key}", constants, used, where)
            nodes.append(Node(op, name, tuple(filter(None, sources.split(", "))), output, values))
        else:
            raise InputError(f"{where}: {line!r}; expected a line of a program's text")
    if unused := sorted(set(constants) - used):
        raise InputError(f"constants {unused} are not in the text; use those saved with it")
    name = _json(header[1], "line 1")
    graph = Graph(name, tensors, tuple(nodes), tuple(inputs), tuple(outputs), attributes)
    verify(graph)
    return graph


def _tensor(info: TensorInfo) -> str:
    scales = [(repr(float(scale)), len(list(same))) for scale, same in groupby(info.scales)]
    shown = " ".join(scale if count == 1 else f"{scale}*{count}" for scale, count in scales)
    return f"{info.dtype} {tuple(info.shape)} scale {shown}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return str(tuple(int(v) for v in value))
    if isinstance(value, str):
        return value
    if not isinstance(value, np.ndarray):
        return str(int(value))
    head = f"{value.dtype} ({', '.join(map(str, value.shape))})"
    if value.size <= INLINE_VALUES:
        return f"{head} [{' '.join(str(int(v)) for v in value.flat)}]"
    return f"{head} {value.min()}..{value.max()} sha256 {_digest(value)}"


def _digest(value: np.ndarray) -> str:
    """A digest of type, shape and the values in little-endian order."""
    data = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(f"{value.dtype}{value.shape}".encode() + data).hexdigest()[:DIGEST_LENGTH]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: {text!r} is no JSON value: {error}") from error


def _parse_tensor(name: str, groups: Any, where: str) -> TensorInfo:
    dtype, *sides, text = groups
    scales: list[float] = []
    try:
        for item in text.split():
            scale, _, count = item.partition("*")
            scales += [float(scale)] * int(count or 1)
    except ValueError as error:
        raise InputError(f"{where}: scale {text!r}; expected numbers like 0.5 or 0.5*3") from error
    batch, height, width, channels = map(int, sides)
    return TensorInfo(name, (batch, height, width, channels), dtype, tuple(scales))


def _parse_value(
    text: str, key: str, constants: Mapping[str, np.ndarray], used: set[str], where: str
) -> Any:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"\((-?\d+,? ?)*\)", text):
        return tuple(int(v) for v in re.findall(r"-?\d+", text))
    if ACTIVATION.fullmatch(text):
        return text
    found = ARRAY.fullmatch(text)
    if not found or found[1] not in ("int8", "int16", "int32", "int64"):
        raise InputError(
            f"{where}: {key} is {text!r}; expected an int, a tuple, an array of ints "
            "or an activation"
        )
    if found[4] is None:
        shape = tuple(int(side) for side in found[2].split(", ") if side)
        try:
            return np.array(list(map(int, found[3].split())), found[1]).reshape(shape)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{where}: {key} is {text!r}: {error}") from error
    if key not in constants:
        raise InputError(f"{where}: the constant {key} is missing; use those saved with the text")
    used.add(key)
    value = np.asarray(constants[key])
    if _value(value) != text:
        raise InputError(
            f"{where}: the constant {key} is {_value(value)}; expected {text}; "
            "use the constants saved with the text"
        )
    return value
