"""Check that an instruction's parameters, channel table and weights are those of its layer."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from horizon.compiler.verify.geometry import Part, pool_window
from horizon.compiler.verify.problem import Wrong, at
from horizon.compiler.verify.shadow import CONSTANT, Shadow
from horizon.hbir.fixed_point import offset_fraction_bits
from horizon.hbm.format import CHANNEL
from horizon.hbm.records import Opcode, Program
from horizon.hbm.weights import pack_weights

COLUMNS = (
    "bias",
    "multiplier",
    "residual_multiplier",
    "shift",
    "negative_multiplier",
    "negative_residual_multiplier",
)
# By opcode, the attributes in the columns of its table. Opcodes that are missing have no table.
ATTRIBUTES: dict[Opcode, tuple[str | None, ...]] = {
    Opcode.conv: COLUMNS,
    Opcode.correlation: (None, "multiplier", None, "shift", "negative_multiplier", None),
    Opcode.warp: (None, "offset_multiplier", None, "offset_shift", None, None),
    Opcode.rescale: (None, "multiplier", None, "shift", "negative_multiplier", None),
    Opcode.mul: (None, "multiplier", None, "shift", None, None),
    Opcode.matmul: (None, "multiplier", None, "shift", None, None),
    Opcode.add: (
        *(None, "multiplier_a", "multiplier_b", "shift"),
        *("negative_multiplier_a", "negative_multiplier_b"),
    ),
}
NEGATIVE = ("negative_multiplier", "negative_multiplier_a")


class Parameters:
    """The checks. Constants that tiles of a layer share are compared once."""

    def __init__(self, program: Program, shadow: Shadow) -> None:
        self._constants = np.frombuffer(program.constants, np.uint8)
        self._shadow = shadow
        self._equal: set[tuple[Any, ...]] = set()

    def check(self, part: Part) -> None:
        """Compare fields, table and weights. Raises Wrong."""
        for name, expected in _fields(part).items():
            found = getattr(part.instruction, name)
            if found != expected:
                raise Wrong(name, f"{found}", f"{expected}")
        opcode = part.instruction.opcode
        if opcode is Opcode.lookup:
            self._check_entries(part)
        elif opcode is Opcode.avg_pool:
            self._check_pool_table(part)
        elif opcode in ATTRIBUTES:  # Otherwise the rules of the file forbid a table.
            self._check_table(part)
        if part.instruction.weight is not None:
            self._check_weight(part)

    def _check_table(self, part: Part) -> None:
        instruction, channels = part.instruction, part.channels
        key = (part.node.name, channels.start, channels.stop)
        place = (instruction.table, instruction.table_count)
        if (key, place) in self._equal:
            return
        table = self._table(part)
        for column, attribute in zip(COLUMNS, ATTRIBUTES[instruction.opcode], strict=True):
            expected = np.asarray(part.node.attributes.get(attribute, 0) if attribute else 0)
            if expected.ndim:
                expected = expected[channels]
            if attribute == "offset_shift":
                _, height, width, _ = part.shapes[0]
                expected = expected - offset_fraction_bits(height, width)
            found, expected = np.broadcast_arrays(table[column], expected)
            bad = found != expected
            if bad.any():
                index = int(bad.argmax())
                where = f"table, {column} of channel {channels.start + index}"
                raise Wrong(where, f"{found[index]}", f"{expected[index]}")
        self._equal.add((key, place))

    def _check_entries(self, part: Part) -> None:
        expected = part.node.attributes["table"]
        start = part.instruction.table
        data = self._constants[start : start + expected.nbytes].tobytes()
        found = np.frombuffer(data, expected.dtype.newbyteorder("<"))
        bad = found != expected
        if bad.any():
            index = int(bad.argmax())
            raise Wrong(f"table, entry {index}", f"{found[index]}", f"{expected[index]}")

    def _check_pool_table(self, part: Part) -> None:
        """Check that the table has an entry for each window size (in elements) of the whole map."""
        key = part.node.name, (part.instruction.table, part.instruction.table_count)
        if key in self._equal:
            return
        table, counts = self._table(part), _pool_counts(part)
        found = table["count"].tolist() if len(table) > 1 else [counts[0]]
        if found != counts:
            raise Wrong("table", f"entries for {found} elements", f"for {counts}")
        values = part.node.attributes
        for entry, count in zip(table, counts, strict=True):
            expected = _divided(values["multiplier"], values["shift"], count)
            if (entry["multiplier"], entry["shift"]) != expected:
                numbers = int(entry["multiplier"]), int(entry["shift"])
                raise Wrong(f"table, entry for {count} elements", f"{numbers}", f"{expected}")
        self._equal.add(key)

    def _table(self, part: Part) -> np.ndarray:
        start, count = part.instruction.table, part.instruction.table_count
        data = self._constants[start : start + count * CHANNEL.itemsize].tobytes()
        return np.frombuffer(data, CHANNEL)

    def _check_weight(self, part: Part) -> None:
        view, channels = part.instruction.weight, part.channels
        assert view is not None
        places = CONSTANT - self._shadow.read(view).reshape(-1)
        if places.min() < 0:
            index = int((places < 0).argmax())
            found = self._shadow.describe(CONSTANT - int(places[index]))
            where = at("weight", view)
            raise Wrong(where, f"byte {view.offset + index} holds {found}", "weights")
        together = bool((np.diff(places) == 1).all())
        layout = part.instruction.weight_layout
        key = (part.node.name, channels.start, channels.stop, layout, int(places[0]))
        if together and key in self._equal:
            return
        expected = pack_weights(part.node.attributes["weight"][channels], layout).view(np.uint8)
        found = self._constants[places]
        if not np.array_equal(found, expected):
            index = int((found != expected).argmax())
            raise Wrong(
                at("weight", view),
                f"byte {view.offset + index} comes from byte {places[index]} of the constants, "
                f"which is {found[index]}",
                f"{expected[index]}, of output channels {channels.start}..{channels.stop - 1}, "
                f"layout {layout.name}",
            )
        if together:
            self._equal.add(key)


def _fields(part: Part) -> dict[str, Any]:
    """The fields of the instruction that follow from the node alone."""
    opcode, values = part.instruction.opcode, part.node.attributes
    fields: dict[str, Any] = {name: values[name] for name in ("lo", "hi") if name in values}
    fields["two_slopes"] = any(name in values for name in NEGATIVE)
    if opcode is Opcode.conv:
        fields["kernel"] = values["weight"].shape[1:3]
        fields["stride"] = values["stride"]
        fields["dilation"] = values.get("dilation", (1, 1))
        fields["transposed"] = part.node.op == "conv_transpose2d"
    elif opcode is Opcode.matmul:
        fields["transposed"] = values["transposed"] == 1
    elif opcode is Opcode.correlation:
        fields["reach"] = values["max_displacement"]
    elif opcode is Opcode.max_pool:
        kernel, stride, _ = zip(*(pool_window(part, axis) for axis in (0, 1)), strict=True)
        fields |= {"kernel": kernel, "stride": stride}
    elif opcode is Opcode.avg_pool:
        kernel, stride, _ = zip(*(pool_window(part, axis) for axis in (0, 1)), strict=True)
        several = len(_pool_counts(part)) > 1 and values.get("include_pad")
        margin = values["padding"] if several else (0, 0)
        fields |= {"kernel": kernel, "stride": stride, "margin": margin}
    elif opcode is Opcode.resize:
        fields |= _resize_fields(part)
    elif opcode is Opcode.warp:
        fields["fraction_bits"] = offset_fraction_bits(*part.shapes[0][1:3])
    return fields


def _pool_counts(part: Part) -> list[int]:
    """The divisors of the sums of the whole map's windows, ascending."""
    values, sides = part.node.attributes, part.shapes[0][1:3]
    if values.get("divisor"):
        return [values["divisor"]]
    if "size" in values:
        return [math.prod(side // size for side, size in zip(sides, values["size"], strict=True))]
    along = []
    for axis, side in enumerate(sides):
        kernel, _, padding = pool_window(part, axis)
        margin = padding if values["include_pad"] else 0
        counted = [
            sum(-margin <= row < side + margin for row in range(begin, begin + kernel))
            for begin in _pool_begins(part, axis)
        ]
        along.append(set(counted))
    return sorted({rows * columns for rows, columns in product(*along)})


def _pool_begins(part: Part, axis: int) -> list[int]:
    """The first row (axis 0) or column of each window of the whole map."""
    side, (kernel, stride, padding) = part.shapes[0][1 + axis], pool_window(part, axis)
    begins = [-padding]
    while True:
        before, begin = begins[-1], begins[-1] + stride
        within = begin + kernel <= side + padding
        if part.node.attributes["ceil"]:
            within = before + kernel < side + padding and begin < side
        if not within:
            return begins
        begins.append(begin)


def _divided(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """``quantise(M * 2^-s / n)`` of ``docs/fixed_point.md``, in fractions."""
    ratio = Fraction(multiplier, count << shift)
    places = 0
    while ratio * 2**places < 2**23:
        places += 1
    while ratio * Fraction(2) ** places >= 2**24:
        places -= 1
    found = math.floor(ratio * Fraction(2) ** places + Fraction(1, 2))
    return (2**23, places - 1) if found == 2**24 else (found, places)


def _resize_fields(part: Part) -> dict[str, Any]:
    """The fields by the formulas of ``docs/fixed_point.md``, "resize"."""
    values = part.node.attributes
    found: dict[str, list[int]] = {"step": [], "offset": [], "divisor": [], "last": []}
    one = 256 if values["bilinear"] else 1
    for axis in (0, 1):
        up, down, side = values["up"][axis], values["down"][axis], part.shapes[0][1 + axis]
        if values["align_corners"]:
            last = side * up // down - 1
            numbers = (512 * (side - 1), last, 2 * last) if last else (0, 0, 1)
        elif values["bilinear"]:
            numbers = 512 * down, 256 * (down - up) + up, 2 * up
        else:
            numbers = (2 * down, down, 2 * up) if values["exact"] else (down, 0, up)
        for name, number in zip(("step", "offset", "divisor"), numbers, strict=True):
            found[name].append(number)
        found["last"].append(side - 1)
    return {name: tuple(pair) for name, pair in found.items()} | {
        "fraction_bits": one.bit_length() - 1
    }
