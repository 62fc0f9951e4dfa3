"""What a compiled program consists of, in a few lines."""

from __future__ import annotations

import math
from collections import Counter

from horizon.hbm.records import IoTensor, Opcode, Program, View
from horizon.isa.instructions import INSTRUCTIONS
from horizon.perf.work import products


def summary(program: Program) -> list[tuple[str, str]]:
    """Titles and texts: inputs and outputs, instructions, memory, traffic, work."""
    rows = [("input", describe(tensor)) for tensor in program.inputs]
    rows += [("output", describe(tensor)) for tensor in program.outputs]
    counts = Counter(i.opcode for i in program.instructions)
    kinds = ", ".join(f"{counts[code]} {code.name}" for code in Opcode if counts[code])
    rows.append(("instructions", f"{len(program.instructions)}: {kinds}"))
    memory = (
        ("constants", len(program.constants)),
        ("SRAM", program.sram_bytes),
        ("DDR", program.ddr_bytes),
    )
    rows.append(("memory", ", ".join(f"{name} {size(value)}" for name, value in memory)))
    loaded, stored = ddr_bytes(program)
    rows.append(("DDR per run", f"{loaded:,} bytes loaded, {stored:,} bytes stored"))
    convolutions = sum(products(i) for i in program.instructions if i.weight is not None)
    matrices = sum(products(i) for i in program.instructions if INSTRUCTIONS[i.opcode].matrices)
    correlations = sum(map(products, program.instructions)) - convolutions - matrices
    text = f"{convolutions / 1e9:.2f} GMAC in convolutions ({convolutions:,})"
    text += f", {correlations / 1e9:.2f} in correlations"
    rows.append(("work", text + (f", {matrices / 1e9:.2f} in matrix products" if matrices else "")))
    return rows


def describe(tensor: IoTensor) -> str:
    shape = "x".join(map(str, tensor.shape))
    steps = ", ".join(f"{scale:.6g}" for scale in tensor.scales)
    zero = f", zero at {tensor.zero_point}" if tensor.zero_point else ""
    kind = f"{tensor.dtype.name} {tensor.layout.name.upper()} {shape}"
    return f"{tensor.name}: {kind}, step {steps}{zero}"


def size(count: int) -> str:
    """A number of bytes for people."""
    if not count:
        return "none"
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def ddr_bytes(program: Program) -> tuple[int, int]:
    """Bytes that a run loads and stores, as the executor counts them."""

    def total(code: Opcode) -> int:
        return sum(view_bytes(i.out) for i in program.instructions if i.opcode is code)

    return total(Opcode.load), total(Opcode.store)


def view_bytes(view: View) -> int:
    return math.prod(view.shape) * view.dtype.size
