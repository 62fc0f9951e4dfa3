"""Small programs for the tests: one with every instruction, one of three instructions."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.hbm import (
    DataType,
    Instruction,
    IoTensor,
    Layout,
    Opcode,
    Program,
    Space,
    Unit,
    View,
    WeightLayout,
    channel_table,
    pack_weights,
)
from horizon.hbm.records import UNIT_OF, Quad

INT32 = {"lo": -(2**31), "hi": 2**31 - 1}
# Rows 2..5 of a map of 4 x 6, bilinear at twice the size.
TWICE = {
    "fraction_bits": 8,
    "origin": (2, 0),
    "step": (512, 512),
    "offset": (-254, -254),
    "divisor": (4, 4),
    "last": (3, 5),
}
Step = tuple[Opcode, str, View, View, dict[str, Any]]


def dense(space: Space, dtype: DataType, shape: Quad, offset: int = 0) -> View:
    """A view without gaps."""
    _, h, w, c = shape
    size = dtype.size
    return View(space, dtype, shape, (h * w * c * size, w * c * size, c * size, size), offset)


def nchw(space: Space, dtype: DataType, shape: Quad) -> View:
    """The view of shape (N, H, W, C) of an input or output that lies NCHW."""
    _, h, w, c = shape
    size = dtype.size
    return View(space, dtype, shape, (c * h * w * size, w * size, size, h * w * size), 0)


def in_order(steps: list[Step]) -> tuple[Instruction, ...]:
    """Instructions each of which waits for all before it."""
    counts = [0] * len(Unit)
    result = []
    for opcode, layer, out, a, rest in steps:
        unit = UNIT_OF[opcode]
        result.append(Instruction(opcode, unit, layer, tuple(counts), out, a, **rest))
        counts[unit] += 1
    return tuple(result)


def short_program() -> Program:
    """An input that is requantised: three instructions."""
    shape = (1, 2, 2, 1)
    a = dense(Space.sram, DataType.int8, shape, 0)
    b = dense(Space.sram, DataType.int32, shape, 64)
    clamp = {"lo": -5, "hi": 1000, "table_count": 1}
    return Program(
        name="short",
        march="host",
        opt=0,
        inputs=(IoTensor("x", DataType.uint8, Layout.nchw, (1, 1, 2, 2), (1 / 128,), 128),),
        outputs=(IoTensor("y", DataType.int32, Layout.nchw, (1, 1, 2, 2), (0.25,), 0),),
        instructions=in_order(
            [
                (Opcode.load, "x", a, nchw(Space.input, DataType.uint8, shape), {}),
                (Opcode.rescale, "wide", b, a, clamp),
                (Opcode.store, "y", nchw(Space.output, DataType.int32, shape), b, {}),
            ]
        ),
        constants=channel_table(0, 2**23, 20).ljust(64, b"\0"),
        sram_bytes=128,
        ddr_bytes=0,
        size_multiple=1,
        metadata={"note": "short", "weight": 0.5},
    )


class _Memory:
    """Places for constants and for tensors in SRAM, one behind the other."""

    def __init__(self) -> None:
        self.constants = bytearray()
        self.sram = 0

    def put(self, data: bytes) -> int:
        offset = len(self.constants)
        self.constants.extend(data + bytes(-len(data) % 64))
        return offset

    def place(self, dtype: DataType, shape: Quad) -> View:
        view = dense(Space.sram, dtype, shape, self.sram)
        self.sram = -(-view.end // 64) * 64
        return view


def full_program(seed: int = 0) -> Program:
    """Every instruction, type and space, on a map of 4 x 6 pixels."""
    rng = np.random.default_rng(seed)
    memory = _Memory()
    h, w, i, o = 4, 6, 3, 18
    int8, int16, int32, uint8 = DataType.int8, DataType.int16, DataType.int32, DataType.uint8
    weight = pack_weights(rng.integers(-127, 128, (o, 3, 3, i), np.int8), WeightLayout.blocked)
    rows = pack_weights(rng.integers(-127, 128, (2, 4, 4, o), np.int8), WeightLayout.rows)
    weight_in_file = dense(
        Space.constant, int8, (1, 1, 1, weight.size), memory.put(weight.tobytes())
    )
    rows_in_file = dense(Space.constant, int8, (1, 1, 1, rows.size), memory.put(rows.tobytes()))
    plain, bias = np.full(o, 2**23 + 5), rng.integers(-99, 99, o)
    first_table = memory.put(channel_table(bias, plain, 30))
    sum_table = memory.put(channel_table(bias, plain, 30, np.arange(o)))
    flow_table = memory.put(channel_table(np.array([7, -7]), 2**23, 23))
    one = {"table": memory.put(channel_table(0, 2**23, 23)), "table_count": 1}
    two = {"table": memory.put(channel_table(0, 2**23, 24, 2**22)), "table_count": 1}

    image, loaded = memory.place(int8, (1, h, w, i)), memory.place(int8, (1, 1, 1, weight.size))
    first, second = memory.place(int8, (1, h, w, o)), memory.place(int8, (1, h, w, o))
    wide, cost = memory.place(int16, (1, h, w, o)), memory.place(int16, (1, h, w, 9))
    offsets, warped = memory.place(int16, (1, 2, w, 2)), memory.place(int8, (1, 2, w, o))
    flow = memory.place(int32, (1, 2 * h, 2 * w, 2))
    total, summed = (memory.place(int32, (1, 2 * h, 2 * w, 2)) for _ in range(2))
    pooled = memory.place(int8, (1, 2, w, o))
    gated = memory.place(int8, (1, h, w, o))
    corner = View(Space.sram, int8, (1, 1, 1, o), first.strides, first.offset)
    wider = memory.place(int8, (1, 4, 2 * w, o))
    looked_up = memory.place(int16, (1, 4, 2 * w, o))
    squares = memory.put((np.arange(-128, 128) ** 2).astype("<i2").tobytes())
    counts = np.array([4, 6, 9])  # of 3x3 windows on a map of 4x6, every second pixel, padding 1
    mean_table = memory.put(channel_table(0, 2**26 // counts, 25, count=counts))
    mean = memory.place(int16, (1, 2, 3, o))
    each = pack_weights(rng.integers(-127, 128, (o, 3, 3, 1), np.int8), WeightLayout.depthwise)
    each_in_file = dense(Space.constant, int8, (1, 1, 1, each.size), memory.put(each.tobytes()))
    alone = memory.place(int16, (1, h, w, o))
    scores = memory.place(int8, (1, h, w, 2 * w))
    exchanged = memory.place(int8, (1, 3, 4, h * w))
    slice_of_cost = View(Space.sram, int16, (1, 2, w, 2), cost.strides, cost.offset + 4)
    aside = dense(Space.ddr, int8, (1, h, w, o))

    conv = {"weight": loaded, "kernel": (3, 3), "pad": (1, 1), "lo": 0, "hi": 127, "table_count": o}
    up = {
        "weight": rows_in_file,
        "weight_layout": WeightLayout.rows,
        "kernel": (4, 4),
        "stride": (2, 2),
        "pad": (1, 1),
        "transposed": True,
        "table": flow_table,
        "table_count": 2,
    }
    match = {"b": second, "reach": 1, "pad": (1, 1), "hi": 32767}
    steps: list[Step] = [
        (Opcode.load, "image", image, nchw(Space.input, uint8, (1, h, w, i)), {}),
        (Opcode.load, "conv1", loaded, weight_in_file, {}),
        (Opcode.conv, "conv1", first, image, {**conv, "table": first_table}),
        (Opcode.store, "conv1", aside, first, {}),
        (Opcode.rescale, "wide", wide, first, {**one, "lo": -32768, "hi": 32767}),
        (Opcode.conv, "conv2", second, image, {**conv, "table": sum_table, "b": wide}),
        (Opcode.load, "conv1", first, aside, {}),
        (Opcode.correlation, "correlation", cost, first, {**match, **one}),
        (Opcode.copy, "offsets", offsets, slice_of_cost, {}),
        (
            Opcode.warp,
            "warp",
            warped,
            second,
            {"b": offsets, "fraction_bits": 8, "origin": (1, 0), **one},
        ),
        (Opcode.conv, "flow", flow, first, {**up, **INT32}),
        (Opcode.rescale, "limit", total, flow, {**one, "lo": -1000, "hi": 1000}),
        (Opcode.add, "sum", summed, flow, {"b": total, **two, **INT32}),
        (
            Opcode.max_pool,
            "pool",
            pooled,
            first,
            {"kernel": (2, 3), "stride": (2, 1), "pad": (0, 1)},
        ),
        (Opcode.resize, "wider", wider, first, TWICE),
        (Opcode.lookup, "squares", looked_up, wider, {"table": squares, "table_count": 256}),
        (Opcode.mul, "gate", gated, wide, {"b": corner, **one, "lo": -100, "hi": 127}),
        (
            Opcode.avg_pool,
            "mean",
            mean,
            wide,
            {
                "kernel": (3, 3),
                "stride": (2, 2),
                "pad": (1, 1),
                "lo": -9,
                "hi": 32767,
                "table": mean_table,
                "table_count": 3,
            },
        ),
        (
            Opcode.conv,
            "depthwise",
            alone,
            first,
            {
                **conv,
                "table": first_table,
                "weight": each_in_file,
                "weight_layout": WeightLayout.depthwise,
            },
        ),
        (
            Opcode.matmul,
            "scores",
            scores,
            first,
            {"b": pooled, "transposed": True, **one, "lo": -128, "hi": 127},
        ),
        (Opcode.transpose, "exchanged", exchanged, scores, {}),
        (Opcode.store, "flow", nchw(Space.output, int32, flow.shape), summed, {}),
    ]
    return Program(
        name="every instruction",
        march="edge256",
        opt=2,
        inputs=(IoTensor("image", uint8, Layout.nchw, (1, i, h, w), (1 / 128,), 128),),
        outputs=(IoTensor("flow", int32, Layout.nchw, (1, 2, 2 * h, 2 * w), (0.5, 0.125), 0),),
        instructions=in_order(steps),
        constants=bytes(memory.constants),
        sram_bytes=memory.sram,
        ddr_bytes=aside.end,
        size_multiple=4,
        metadata={"layers": ["conv1", "flow"], "macs": 11664},
    )
