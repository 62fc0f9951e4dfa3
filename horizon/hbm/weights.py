"""How weights and channel tables lie in a program's constants (``docs/hbm_format.md``)."""

from __future__ import annotations

import numpy as np

from horizon.errors import InputError
from horizon.hbm.format import CHANNEL, round_up
from horizon.hbm.records import ALIGNMENT, ROWS_OUTPUTS, DataType, Instruction, WeightLayout

BLOCK_OUTPUTS = 16
BLOCK_INPUTS = 4
BLOCK_CHANNELS = 64


def layout_for(outputs: int, dtype: DataType, depthwise: bool = False) -> WeightLayout:
    """How the weights of a convolution lie.

    Rows for a few outputs of int8 inputs, where blocks of 16 would be mostly empty.
    """
    if depthwise:
        return WeightLayout.depthwise
    few = outputs <= ROWS_OUTPUTS and dtype is DataType.int8
    return WeightLayout.rows if few else WeightLayout.blocked


def weight_shape(conv: Instruction) -> tuple[int, int, int, int]:
    """(O, kh, kw, I) of a convolution's weights; I is 1 where they are depthwise."""
    depthwise = conv.weight_layout is WeightLayout.depthwise
    return (conv.out.shape[3], *conv.kernel, 1 if depthwise else conv.a.shape[3])


def block_outputs(layout: WeightLayout) -> int | None:
    """So many outputs have weights that lie together; None if only all of them do."""
    if layout is WeightLayout.rows:
        return None
    return BLOCK_CHANNELS if layout is WeightLayout.depthwise else BLOCK_OUTPUTS


def packed_bytes(shape: tuple[int, ...], layout: WeightLayout) -> int:
    """Bytes of packed weights of shape (O, kh, kw, I)."""
    outputs, kh, kw, inputs = shape
    if layout is WeightLayout.rows:
        return outputs * kh * kw * round_up(inputs, ALIGNMENT)
    if layout is WeightLayout.depthwise:
        return round_up(outputs, BLOCK_CHANNELS) * kh * kw
    return round_up(outputs, BLOCK_OUTPUTS) * kh * kw * round_up(inputs, BLOCK_INPUTS)


def pack_weights(weight: np.ndarray, layout: WeightLayout) -> np.ndarray:
    """int8 (O, kh, kw, I) as the flat int8 array that a program contains.

    Raises:
        InputError: not int8, not of four dimensions, empty, with a value of -128, or of more than
            one input in a depthwise layout.
    """
    if weight.dtype != np.int8 or weight.ndim != 4 or not weight.size:
        raise InputError(
            f"weights of type {weight.dtype} and shape {weight.shape}; expected int8 (O, kh, kw, I)"
        )
    if weight.min() < -127:
        raise InputError("a weight of -128; expected -127..127; quantise the weights symmetrically")
    outputs, kh, kw, inputs = weight.shape
    if layout is WeightLayout.rows:
        rows = np.zeros((outputs, kh, kw, round_up(inputs, ALIGNMENT)), np.int8)
        rows[..., :inputs] = weight
        return rows.reshape(-1)
    if layout is WeightLayout.depthwise:
        if inputs != 1:
            raise InputError(f"depthwise weights of {inputs} inputs; expected (O, kh, kw, 1)")
        channels = np.zeros((round_up(outputs, BLOCK_CHANNELS), kh, kw), np.int8)
        channels[:outputs] = weight[..., 0]
        blocks = channels.reshape(-1, BLOCK_CHANNELS, kh, kw)
        return np.ascontiguousarray(blocks.transpose(0, 2, 3, 1)).reshape(-1)
    blocks, groups = -(-outputs // BLOCK_OUTPUTS), -(-inputs // BLOCK_INPUTS)
    whole = np.zeros((blocks * BLOCK_OUTPUTS, kh, kw, groups * BLOCK_INPUTS), np.int8)
    whole[:outputs, ..., :inputs] = weight
    # Four inputs are moved as one 32-bit word.
    words = whole.view(np.int32).reshape(blocks, BLOCK_OUTPUTS, kh, kw, groups)
    return np.ascontiguousarray(words.transpose(0, 2, 3, 4, 1)).view(np.int8).reshape(-1)


def unpack_weights(
    packed: np.ndarray, shape: tuple[int, int, int, int], layout: WeightLayout
) -> np.ndarray:
    """The int8 (O, kh, kw, I) that :func:`pack_weights` was given.

    Args:
        packed: int8, flat.
        shape: (O, kh, kw, I).

    Raises:
        InputError: the array has another size, or is not 0 where a layout has no weight.
    """
    if packed.dtype != np.int8 or packed.shape != (packed_bytes(shape, layout),):
        raise InputError(
            f"packed weights of type {packed.dtype} and shape {packed.shape}; expected int8 "
            f"({packed_bytes(shape, layout)},) for {shape} in layout {layout.name}"
        )
    outputs, kh, kw, inputs = shape
    if layout is WeightLayout.rows:
        whole = packed.reshape(outputs, kh, kw, -1)
    elif layout is WeightLayout.depthwise:
        lanes = packed.reshape(-1, kh, kw, BLOCK_CHANNELS).transpose(0, 3, 1, 2)
        whole = lanes.reshape(-1, kh, kw, 1)
    else:
        blocks, groups = -(-outputs // BLOCK_OUTPUTS), -(-inputs // BLOCK_INPUTS)
        aligned = np.ascontiguousarray(packed).view(np.int32)
        words = aligned.reshape(blocks, kh, kw, groups, BLOCK_OUTPUTS).transpose(0, 4, 1, 2, 3)
        whole = np.ascontiguousarray(words).view(np.int8)
        whole = whole.reshape(blocks * BLOCK_OUTPUTS, kh, kw, groups * BLOCK_INPUTS)
    if whole[outputs:].any() or whole[..., inputs:].any():
        raise InputError(
            f"packed weights for {shape} in layout {layout.name} are not 0 where no weight is; "
            "expected 0; pack them with pack_weights"
        )
    return np.ascontiguousarray(whole[:outputs, ..., :inputs])


def channel_table(
    bias: np.ndarray | int = 0,
    multiplier: np.ndarray | int = 0,
    shift: np.ndarray | int = 1,
    residual_multiplier: np.ndarray | int | None = None,
    negative_multiplier: np.ndarray | int | None = None,
    negative_residual_multiplier: np.ndarray | int | None = None,
) -> bytes:
    """The channel entries of an instruction: one per element of the longest argument.

    Args:
        bias, multiplier, shift: integers, or (C,).
        residual_multiplier: of the second summand.
        negative_multiplier, negative_residual_multiplier: of an instruction with two slopes: the
            multipliers where the scaled sum is negative.

    Raises:
        InputError: a value that is no integer of 32 bits.
    """
    given = {
        "bias": bias,
        "multiplier": multiplier,
        "residual_multiplier": residual_multiplier,
        "shift": shift,
        "negative_multiplier": negative_multiplier,
        "negative_residual_multiplier": negative_residual_multiplier,
    }
    arrays = (np.atleast_1d(0 if value is None else value) for value in given.values())
    columns = np.broadcast_arrays(*arrays)
    table = np.zeros(columns[0].shape, CHANNEL)
    for name, column in zip(given, columns, strict=True):
        table[name] = column
        if not np.array_equal(table[name], column):
            raise InputError(f"channel table: {name} has a value that is no integer of 32 bits")
    return table.tobytes()
