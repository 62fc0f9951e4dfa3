"""What the timing model leaves out: the one list that reports and ``docs`` show."""

from __future__ import annotations

LEFT_OUT = (
    (
        "The host's side of a run",
        "driver, interrupts, the start of a task, copying or converting images and flow.",
    ),
    (
        "How DDR behaves in detail",
        "rows, banks, refresh, and the change between reading and writing; one factor, "
        "ddr_efficiency, stands for all of it.",
    ),
    (
        "Everybody else on the DDR",
        "cameras, displays and CPUs take bandwidth from the cores.",
    ),
    (
        "What cores do to each other",
        "each has an equal share of the bandwidth at any moment, even while others need none.",
    ),
    (
        "Conflicts in SRAM",
        "units that work at the same time do not slow each other down, and banks do not matter.",
    ),
    (
        "Fetching and decoding instructions",
        "only in the constant start-up time of each.",
    ),
    (
        "Caches",
        "on a CPU they are transparent here: one bandwidth holds for near and far data.",
    ),
    (
        "Clocks that change",
        "heat, power limits and frequency scaling.",
    ),
    (
        "The maker's own compiler",
        "it may cut and order layers in another way; the time is that of this program.",
    ),
    (
        "Zeros",
        "weights and activations that are 0 cost as much as others; padding too, as far as the "
        "array has to step over it.",
    ),
    (
        "Power and energy",
        "there is no figure for either.",
    ),
)
"""(what, how far) each."""
