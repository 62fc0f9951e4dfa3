"""What programs are refused for: one broken rule at a time."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from horizon.errors import CompilerError
from horizon.hbm import (
    DataType,
    IoTensor,
    Layout,
    Opcode,
    Program,
    Space,
    Unit,
    WeightLayout,
    channel_table,
    disassemble,
    from_bytes,
    to_bytes,
)
from horizon.hbm.format import CHANNEL
from horizon.hbm.records import UNIT_OF
from tests.horizon.hbm.programs import dense, full_program, short_program

FULL = full_program()
INSTRUCTIONS = {
    "load": 0,
    "conv": 2,
    "store": 3,
    "residual": 5,
    "correlation": 7,
    "copy": 8,
    "warp": 9,
    "up": 10,
    "rescale": 11,
    "add": 12,
    "pool": 13,
    "resize": 14,
    "lookup": 15,
    "mul": 16,
    "mean": 17,
    "depthwise": 18,
    "matmul": 19,
    "transpose": 20,
}


def changed(name: str, operand: str | None = None, **values: Any) -> Program:
    """The full program with other values in an instruction, or in an operand of it."""
    index = INSTRUCTIONS[name]
    item = FULL.instructions[index]
    if operand:
        values = {operand: replace(getattr(item, operand), **values)}
    items = list(FULL.instructions)
    items[index] = replace(item, **values)
    return replace(FULL, instructions=tuple(items))


def refused(program: Program, message: str) -> None:
    with pytest.raises(CompilerError, match=message) as caught:
        to_bytes(program)
    assert re.search("; expected .*; this is a fault of what made the program", str(caught.value))


PARAMETERS = {
    "unit": ("conv", {"unit": Unit.vector}, r"instruction 2 \(conv, layer 'conv1'\): unit vector"),
    "unused kernel": ("add", {"kernel": (3, 3)}, "kernel is .*add does not use it"),
    "unused limits": ("load", {"hi": 1}, "hi is 1"),
    "unused table": ("copy", {"table_count": 1}, "table_count is 1"),
    "unused operand": ("load", {"b": FULL.instructions[0].a}, "b is View"),
    "no second": ("add", {"b": None}, "no operand b"),
    "no weight": ("conv", {"weight": None}, "no operand weight"),
    "limits": ("rescale", {"lo": 5, "hi": 4}, r"limits 5\.\.4"),
    "limits outside": ("conv", {"hi": 128}, r"limits 0\.\.128; expected lo <= hi within -128"),
    "table place": ("rescale", {"table": 8}, "a multiple of 32"),
    "table end": ("rescale", {"table": len(FULL.constants)}, "inside the constants"),
    "table size": ("conv", {"table_count": 17}, "17 channel entries; expected 18"),
    "table of one": ("rescale", {"table_count": 3}, "3 channel entries; expected 1 or 2"),
    "kernel": ("conv", {"kernel": (0, 3)}, r"kernel \(0, 3\)"),
    "kernel size": ("conv", {"kernel": (3, 2)}, r"weight is .*expected \(1, 1, 1, 768\)"),
    "stride": ("conv", {"stride": (1, 257)}, "stride"),
    "dilation": ("conv", {"dilation": (0, 1)}, "dilation"),
    "transposed dilation": ("up", {"dilation": (2, 1)}, "dilation .*transposed"),
    "pad": ("conv", {"pad": (0, -(2**20) - 1)}, "pad"),
    "layout": ("conv", {"weight_layout": WeightLayout.rows}, "at most 4"),
    "depthwise inputs": (
        "conv",
        {"weight_layout": WeightLayout.depthwise},
        "depthwise weights for 3 inputs and 18 outputs; expected as many outputs as inputs",
    ),
    "depthwise transposed": (
        "depthwise",
        {"transposed": True},
        "depthwise weights, transposed; expected not transposed",
    ),
    "depthwise kernel": ("depthwise", {"kernel": (3, 5)}, r"expected \(1, 1, 1, 960\) for 18"),
    "reach": ("correlation", {"reach": 2}, r"out is .*expected \(1, 4, 6, 25\)"),
    "fraction": ("warp", {"fraction_bits": 7}, "7 fraction bits; expected 8"),
    "origin": ("warp", {"origin": (3, 0)}, r"origin \(3, 0\)"),
    "origin before": ("warp", {"origin": (0, -1)}, r"origin \(0, -1\)"),
    "pool kernel": ("pool", {"kernel": (2, 257)}, r"kernel \(2, 257\); expected 1\.\.256"),
    "pool stride": ("pool", {"stride": (0, 1)}, r"stride \(0, 1\)"),
    "pool pad": ("pool", {"pad": (0, -(2**20) - 1)}, "pad"),
    "window before": ("pool", {"pad": (2, 1)}, "windows from -2 to 1 in axis 1; expected each"),
    "window behind": ("pool", {"pad": (0, -1)}, r"windows from 1 to 8 in axis 2; .* 0\.\.5"),
    "pool limits": ("pool", {"lo": -1}, "max_pool does not use it"),
    "pool table": ("pool", {"table_count": 1}, "max_pool does not use it"),
    "pool dilation": ("pool", {"dilation": (1, 2)}, "max_pool does not use it"),
    "lookup entries": ("lookup", {"table_count": 255}, "255 entries; expected 256"),
    "lookup table": ("lookup", {"table": 8}, "table of 256 entries at 8; expected a multiple of"),
    "lookup behind": ("lookup", {"table": 2**20}, "table of 256 entries at 1048576"),
    "lookup limits": ("lookup", {"hi": 1}, "lookup does not use it"),
    "lookup slopes": ("lookup", {"two_slopes": True}, "lookup does not use it"),
    "mean kernel": ("mean", {"kernel": (257, 3)}, r"kernel \(257, 3\); expected 1\.\.256"),
    "mean margin": ("mean", {"margin": (0, -1)}, r"margin \(0, -1\); expected 0\.\.256"),
    "mean window": ("mean", {"pad": (3, 1)}, "windows from -3 to 1 in axis 1; expected each"),
    "mean entries": ("mean", {"table_count": 0}, "no channel entry; expected at least one"),
    "mean entry": ("mean", {"table_count": 2}, r"3 x 3 elements; .* entry for 9, besides \[4, 6\]"),
    "mean count": ("mean", {"table_count": 1}, "count 4 of channel 0; expected 0"),
    "mean elements": ("mean", {"pad": (2, 2)}, r"a window of 1 x 1 elements; .* entry for 1"),
    "mean limits": ("mean", {"hi": 32768}, r"limits -9\.\.32768"),
    "mean slopes": ("mean", {"two_slopes": True}, "avg_pool does not use it"),
    "mean dilation": ("mean", {"dilation": (1, 2)}, "avg_pool does not use it"),
    "margin elsewhere": ("pool", {"margin": (1, 0)}, "max_pool does not use it"),
    "resize bits": ("resize", {"fraction_bits": 7}, "7 fraction bits; expected 0 or 8"),
    "resize step": ("resize", {"step": (512, -1)}, r"step \(512, -1\)"),
    "resize offset": ("resize", {"offset": (2**26 + 1, 0)}, "offset"),
    "resize divisor": ("resize", {"divisor": (4, 0)}, r"divisor \(4, 0\); expected 1\.\."),
    "resize last": ("resize", {"last": (2**16, 5)}, "last"),
    "resize origin": ("resize", {"origin": (-1, 0)}, "origin"),
    "resize pad": ("resize", {"pad": (0, 1)}, r"pad \(0, 1\); expected at most 0"),
    "rows before": ("resize", {"pad": (-1, 0)}, r"reads places -1\.\.2 of a in axis 1"),
    "columns behind": (
        "resize",
        {"last": (3, 6)},
        r"reads places 0\.\.6 of a in axis 2; .* 0\.\.5",
    ),
    "resize kernel": ("resize", {"kernel": (1, 2)}, "resize does not use it"),
    "step without resize": ("pool", {"step": (1, 1)}, "max_pool does not use it"),
    "mul slopes": ("mul", {"two_slopes": True}, "mul does not use it"),
    "mul table": ("mul", {"table_count": 2}, "2 channel entries; expected 1"),
    "mul limits": ("mul", {"hi": 128}, r"limits -100\.\.128"),
    "no factor": ("mul", {"b": None}, "no operand b"),
    "matmul slopes": ("matmul", {"two_slopes": True}, "matmul does not use it"),
    "matmul table": ("matmul", {"table_count": 2}, "2 channel entries; expected 1"),
    "matmul limits": ("matmul", {"hi": 128}, r"limits -128\.\.128"),
    "not transposed": ("matmul", {"transposed": False}, r"out with 18 channels, a with 12 for"),
    "no matrix": ("matmul", {"b": None}, "no operand b"),
    "transpose limits": ("transpose", {"hi": 1}, "transpose does not use it"),
    "wait": ("store", {"waits": (0, 1, 0, 0, 0, 0)}, r"waits for 1 of unit store; expected 0\.\.0"),
    "negative wait": ("store", {"waits": (-1, 0, 0, 0, 0, 0)}, "waits for -1"),
    "waits": ("store", {"waits": (0, 0)}, "2 waits"),
    "layer": ("store", {"layer": ""}, "layer: ''"),
    "long layer": ("store", {"layer": "x" * 4097}, "layer: 'xxx"),
    "layer with nul": ("store", {"layer": "a\0b"}, "layer: "),
    "surrogate": ("store", {"layer": "\ud800"}, "surrogates not allowed"),
}


@pytest.mark.parametrize(("name", "values", "message"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters(name, values, message):
    refused(changed(name, **values), message)


OPERANDS = {
    "negative": ("conv", "a", {"offset": -1}, r"operand a: offset -1"),
    "end": ("conv", "a", {"offset": FULL.sram_bytes - 71}, "ends at byte .* of sram"),
    "no rows": ("conv", "a", {"shape": (1, 0, 6, 3)}, "four positive sides"),
    "side": ("load", "a", {"shape": (1, 1, 1, 2**31)}, "four positive sides"),
    "strides": ("load", "a", {"strides": (0, 0, 0, 2**32)}, "four numbers"),
    "odd offset": ("add", "b", {"offset": 2}, "multiples of 4"),
    "odd stride": ("add", "b", {"strides": (768, 96, 6, 4)}, "multiples of 4"),
    "index": ("load", "a", {"index": 1}, r"input 1; expected 0\.\.0"),
    "index in sram": ("add", "b", {"index": 1}, "index 1 in sram"),
    "type of input": ("load", "a", {"dtype": DataType.int8}, "int8 view of image"),
    "beyond input": ("load", "a", {"offset": 1}, "ends at byte 73 of input; expected at most 72"),
    "space": ("conv", "out", {"space": Space.ddr, "offset": 0}, "out is in ddr; expected sram"),
    "input": ("copy", "a", {"space": Space.output, "dtype": DataType.int32}, "multiples of 4"),
    "no space": ("conv", "a", {"space": Space.none}, "space none"),
    "type": ("correlation", "b", {"dtype": DataType.uint8}, "b is uint8; expected int8 or int16"),
    "channels": ("rescale", "a", {"strides": (8, 8, 8, 8)}, "a has channel stride 8; expected 4"),
    "twice": ("copy", "out", {"strides": (48, 24, 2, 2)}, "elements of out overlap"),
    "shape": ("load", "out", {"shape": (1, 4, 6, 2)}, "out is .*; expected equal shapes"),
    "store to load": ("store", "out", {"space": Space.sram}, "out is in sram"),
    "signed": ("copy", "out", {"dtype": DataType.int8}, "expected equal types"),
    "batch": ("conv", "a", {"shape": (2, 2, 6, 3)}, "one batch"),
    "inputs": ("conv", "a", {"shape": (1, 4, 6, 5)}, r"weight is .*expected .*for 5 inputs"),
    "residual": ("residual", "b", {"shape": (1, 4, 6, 17)}, "the residual is"),
    "weight offset": ("conv", "weight", {"offset": 32}, "a multiple of 64"),
    "weight shape": ("conv", "weight", {"shape": (1, 1, 4, 288)}, "weight is"),
    "weight space": ("conv", "weight", {"space": Space.input}, "int8 view of image"),
    "correlated": ("correlation", "b", {"shape": (1, 4, 6, 17)}, "equal batch and channels"),
    "offsets": ("warp", "b", {"shape": (1, 2, 5, 2)}, r"expected \(1, 2, 6, 2\)"),
    "offset type": ("warp", "b", {"dtype": DataType.int8}, "b is int8; expected int16"),
    "warped": ("warp", "a", {"shape": (1, 4, 6, 17)}, "equal batch and channels"),
    "warped type": (
        "warp",
        "a",
        {"dtype": DataType.int16, "strides": (864, 216, 36, 2)},
        "out is int8; expected a's int16",
    ),
    "add": ("add", "b", {"shape": (1, 8, 12, 1)}, "b is"),
    "rescale": ("rescale", "a", {"shape": (1, 8, 12, 1)}, "equal shapes"),
    "pooled type": ("pool", "out", {"dtype": DataType.uint8}, "out is uint8; expected int8"),
    "pooled": ("pool", "out", {"shape": (1, 2, 6, 17)}, "equal batch and channels"),
    "pool in place": ("pool", "out", {"offset": FULL.instructions[13].a.offset}, "shares bytes"),
    "looked up": ("lookup", "out", {"shape": (1, 4, 12, 17)}, "equal shapes"),
    "looked up type": ("lookup", "out", {"dtype": DataType.uint8}, "out is uint8; expected int8"),
    "looked up in": ("lookup", "a", {"dtype": DataType.uint8}, "a is uint8; expected int8"),
    "mean type": ("mean", "a", {"dtype": DataType.uint8}, "a is uint8; expected int8 or int16"),
    "meant": ("mean", "out", {"shape": (1, 2, 3, 17)}, "equal batch and channels"),
    "resized": ("resize", "out", {"shape": (1, 4, 12, 17)}, "equal batch and channels"),
    "resized type": ("resize", "out", {"dtype": DataType.uint8}, "out is uint8; expected int8 or"),
    "factor": ("mul", "b", {"shape": (1, 2, 1, 18)}, r"b is .*sides of 1 or .*\(1, 4, 6, 18\)"),
    "channels of a factor": ("mul", "b", {"shape": (1, 1, 1, 17)}, "b is"),
    "factor type": ("mul", "b", {"dtype": DataType.uint8}, "b is uint8; expected int8 or int16"),
    "gated": ("mul", "a", {"shape": (1, 4, 6, 17)}, "equal shapes"),
    "gated in place": ("mul", "out", {"offset": FULL.instructions[16].b.offset}, "shares bytes"),
    "matrix": (
        "matmul",
        "b",
        {"shape": (1, 2, 5, 18)},
        "out with 10 for each of some equal groups",
    ),
    "matrix channels": ("matmul", "b", {"shape": (1, 2, 6, 17)}, "a with 17 channels"),
    "matrix type": ("matmul", "b", {"dtype": DataType.uint8}, "b is uint8; expected int8 or int16"),
    "multiplied": ("matmul", "out", {"shape": (1, 3, 6, 12)}, "out with the pixels of a"),
    "exchanged": ("transpose", "out", {"shape": (1, 3, 3, 24)}, "24 channels of out and 9 of a"),
    "exchanged type": ("transpose", "out", {"dtype": DataType.uint8}, "out is uint8"),
    "in place": ("add", "b", {"offset": FULL.instructions[12].out.offset}, "shares bytes with b"),
}


@pytest.mark.parametrize(("name", "operand", "values", "message"), OPERANDS.values(), ids=OPERANDS)
def test_operands(name, operand, values, message):
    refused(changed(name, operand, **values), message)


def test_sides_of_windowed_operands_are_limited():
    view = dense(Space.sram, DataType.int8, (1, 1, 2**16 + 1, 3), 0)
    program = replace(changed("conv", a=view), sram_bytes=2**20)
    refused(program, "sides of at most 65536")


def test_types_of_a_pool_are_equal():
    strides = tuple(4 * step for step in FULL.instructions[13].out.strides)
    out = replace(FULL.instructions[13].out, dtype=DataType.int32, strides=strides)
    program = replace(changed("pool", out=out), sram_bytes=FULL.sram_bytes + 1024)
    refused(program, "out is int32; expected a's int8")


@pytest.mark.parametrize("values", [{"pad": (1, 2)}, {"stride": (3, 1)}, {"pad": (-1, 1)}])
def test_windows_of_a_pool_may_reach_beyond_its_map(values):
    assert to_bytes(changed("pool", **values))


def changed_entries(**columns: Any) -> Program:
    """The full program with other channel entries of its average pooling."""
    item = FULL.instructions[INSTRUCTIONS["mean"]]
    data = bytearray(FULL.constants)
    table = np.frombuffer(data, CHANNEL, item.table_count, item.table)
    for name, values in columns.items():
        table[name] = values
    return replace(FULL, constants=bytes(data))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"count": [4, 4, 9]}, r"counts \[4, 4, 9\]; expected ascending"),
        ({"count": [0, 6, 9]}, r"count 0 of channel 0; expected 1\.\.65536"),
        ({"count": [4, 5, 9]}, r"a window of 2 x 3 elements; .* entry for 6"),
        ({"bias": [0, 1, 0]}, "bias 1 of channel 1"),
        ({"zero": 1}, "a reserved field of a channel"),
    ],
)
def test_entries_of_an_average_pooling(columns, message):
    refused(changed_entries(**columns), message)


def test_margins_of_an_average_pooling_count():
    assert to_bytes(changed("mean", margin=(1, 1)))
    assert to_bytes(changed("mean", margin=(1, 0)))


@pytest.mark.parametrize(("columns", "fits"), [(31, True), (32, False)])
def test_sums_of_an_average_pooling_stay_below_the_limit(columns, fits):
    """256 rows of int16, all in one place: 2^15 * 2^8 * 2^5 is 2^28."""
    item = FULL.instructions[INSTRUCTIONS["mean"]]
    a = replace(item.a, shape=(1, 256, columns, 18), strides=(0, 0, 0, 2))
    out = replace(item.out, shape=(1, 1, 1, 18))
    one = FULL.instructions[INSTRUCTIONS["rescale"]]
    table = {"table": one.table, "table_count": 1, "stride": (1, 1), "pad": (0, 0)}
    program = changed("mean", a=a, out=out, kernel=(256, columns), **table)
    if fits:
        assert to_bytes(program)
    else:
        refused(program, "a sum that can reach 268435456; expected less than 268435456")


def test_only_bilinear_resizing_reads_a_neighbour():
    a = FULL.instructions[INSTRUCTIONS["resize"]].a
    three = replace(a, shape=(1, 3, 6, 18))
    refused(changed("resize", a=three), r"reads places 0\.\.3 of a in axis 1")
    nearest = {"a": three, "fraction_bits": 0, "step": (1, 1), "offset": (0, 0)}
    assert to_bytes(changed("resize", **nearest, divisor=(2, 2)))
    lower = replace(three, offset=a.offset + a.strides[1])
    assert to_bytes(changed("resize", a=lower, pad=(-1, 0), origin=(4, 0)))


def test_a_correlation_whose_sum_could_overflow_is_refused():
    shape = (1, 1, 1, 2**14)
    a, b = (dense(Space.sram, DataType.int8, shape, place) for place in (2**15, 2**16))
    out = dense(Space.sram, DataType.int16, (1, 1, 1, 9), 0)
    program = replace(changed("correlation", a=a, b=b, out=out), sram_bytes=2**17)
    refused(program, f"can reach {2**28}")


TABLES = {
    "shift": ("conv", channel_table(0, 1, np.arange(30, 48)), None),
    "high shift": ("conv", channel_table(0, 1, np.arange(31, 49)), "shift 48 of channel 17"),
    "low shift": ("conv", channel_table(0, 1, np.arange(18)), "shift 0 of channel 0"),
    "multiplier": ("rescale", channel_table(0, 2**24 + 1, 1), "multiplier 16777217"),
    "negative": ("rescale", channel_table(0, -1, 1), "multiplier -1"),
    "largest": ("rescale", channel_table(0, 2**24, 1), None),
    "bias": ("conv", channel_table(np.full(18, 2**28), 1, 1), "bias 268435456"),
    "no bias": ("rescale", channel_table(1, 1, 1), "bias 1"),
    "second": ("add", channel_table(0, 1, 1, 2**24 + 1), "residual multiplier 16777217"),
    "no second": ("conv", channel_table(np.zeros(18), 1, 1, 1), "residual multiplier 1"),
    "one slope": ("conv", channel_table(np.zeros(18), 1, 1, None, -1), "negative multiplier -1"),
    "one slope of two": ("add", channel_table(0, 1, 1, 1, 0, 1), "negative residual multiplier 1"),
    "warp": ("warp", channel_table(0, 1, 1, 0, 1), "negative multiplier 1 of channel 0"),
}

STEEP = 2**24
SLOPES = {
    "conv": ("conv", channel_table(np.zeros(18), 1, 1, None, np.arange(18) - 9), None),
    "steepest": ("rescale", channel_table(0, 1, 1, None, -STEEP), None),
    "too steep": ("rescale", channel_table(0, 1, 1, None, -STEEP - 1), "multiplier -16777217"),
    "match": ("correlation", channel_table(0, 1, 1, None, STEEP), None),
    "add": ("add", channel_table(0, 1, 1, 1, STEEP, -STEEP), None),
    "second": ("add", channel_table(0, 1, 1, 1, 0, STEEP + 1), "residual multiplier 16777217"),
    "residual": ("residual", channel_table(np.zeros(18), 1, 1, 1, 1, -STEEP), None),
    "no residual": ("conv", channel_table(np.zeros(18), 1, 1, 0, 1, 1), "residual multiplier 1 of"),
    "warp": ("warp", channel_table(0, 1, 1), "two_slopes is True; expected False: warp"),
    "copy": ("copy", None, "two_slopes is True; expected False: copy"),
}


@pytest.mark.parametrize(("name", "table", "message"), TABLES.values(), ids=TABLES)
def test_channel_tables(name, table, message):
    program = replace(changed(name, table=len(FULL.constants)), constants=FULL.constants + table)
    if message:
        refused(program, message)
    else:
        assert to_bytes(program)


@pytest.mark.parametrize(("name", "table", "message"), SLOPES.values(), ids=SLOPES)
def test_two_slopes(name, table, message):
    place = {"table": len(FULL.constants)} if table else {}
    program = changed(name, two_slopes=True, **place)
    program = replace(program, constants=FULL.constants + (table or b""))
    if message:
        refused(program, message)
    else:
        assert from_bytes(to_bytes(program)).instructions == program.instructions
        assert "; two slopes; " in disassemble(program)


def test_a_reserved_field_of_a_channel_is_0():
    table = bytearray(channel_table(0, 1, 1))
    table[-1] = 1
    program = changed("rescale", table=len(FULL.constants))
    refused(replace(program, constants=FULL.constants + bytes(table)), "a reserved field")


def _tensor(**values: Any) -> Program:
    program = short_program()
    return replace(program, inputs=(replace(program.inputs[0], **values),))


WHOLE = {
    "name": (replace(FULL, name=""), "section program: name"),
    "march": (replace(FULL, march="a\0"), "section program: march"),
    "opt": (replace(FULL, opt=4), "opt 4"),
    "multiple": (replace(FULL, size_multiple=0), "size multiple 0"),
    "memory": (replace(FULL, ddr_bytes=2**40), "bytes of sram, 1099511627776 of ddr"),
    "inputs": (replace(FULL, inputs=()), "no inputs"),
    "outputs": (replace(FULL, outputs=()), "no outputs"),
    "same name": (replace(FULL, inputs=FULL.inputs * 2), "input 1: name 'image' again"),
    "instructions": (replace(FULL, instructions=()), "no instructions"),
    "stores": (
        replace(FULL, instructions=FULL.instructions[:-1]),
        "nothing is stored to output flow",
    ),
    "shape": (_tensor(shape=(1, 0, 2, 2)), r"input 0 \(x\): shape"),
    "size": (_tensor(shape=(2**20, 2**20, 2, 1)), "shape"),
    "scales": (_tensor(scales=(1.0, 1.0)), "2 scales; expected 1 or 1"),
    "scale": (_tensor(scales=(float("nan"),)), r"scales \(nan,\)"),
    "no scale": (_tensor(scales=(0.0,)), "positive"),
    "zero point": (_tensor(zero_point=0), "zero point 0 of uint8; expected 128"),
}


@pytest.mark.parametrize(("program", "message"), WHOLE.values(), ids=WHOLE)
def test_the_whole(program, message):
    refused(program, message)


def test_ddr_is_not_copied_to_ddr():
    a, out = (dense(Space.ddr, DataType.int8, (1, 1, 1, 8), place) for place in (0, 8))
    refused(changed("store", a=a, out=out), "both operands are in ddr")
    index = 6
    items = list(FULL.instructions)
    items[index] = replace(items[index], a=a, out=out)
    refused(replace(FULL, instructions=tuple(items)), "both operands are in ddr")


def test_only_loads_of_inputs_turn_uint8_into_int8():
    a = dense(Space.constant, DataType.uint8, (1, 1, 1, 64), 0)
    out = dense(Space.sram, DataType.int8, (1, 1, 1, 64), 0)
    refused(changed("load", a=a, out=out), "a is uint8 in constant, out is int8")


def test_every_opcode_has_its_unit_and_is_in_the_full_program():
    assert set(UNIT_OF) == set(Opcode)
    assert {item.opcode for item in FULL.instructions} == set(Opcode)


def test_channels_are_where_the_layout_has_them():
    nchw = IoTensor("x", DataType.int8, Layout.nchw, (1, 3, 4, 5), (1.0,), 0)
    assert nchw.channels == 3
    assert replace(nchw, layout=Layout.nhwc).channels == 5
