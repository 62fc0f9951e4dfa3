"""What the timing model leaves out: the list of ``docs/performance.md``, for reports."""

from __future__ import annotations

LEFT_OUT = (
    (
        "the host: driver, interrupts, conversion of images",
        "not an instruction, so not counted; the estimate is too low by it",
    ),
    (
        "DDR rows, banks, refresh, switches between reading and writing",
        "one factor, ddr_efficiency",
    ),
    (
        "cameras, displays and CPUs on the same DDR",
        "not modelled; lower ddr_bytes_per_second for them",
    ),
    (
        "DDR bandwidth that one core leaves unused",
        "the other cores do not get it; too high where cores are out of step",
    ),
    (
        "SRAM banks, and conflicts between units in SRAM",
        "not modelled; too low where several units move much data at once",
    ),
    ("fetching and decoding instructions, channel tables", "part of startup_cycles"),
    (
        "a transfer's startup while the previous transfer runs",
        "a unit does one thing at a time; too high for many small loads",
    ),
    (
        "the caches of a CPU",
        "one bandwidth for near and far memory; too low for tensors that do not fit",
    ),
    ("clocks that change with heat and load", "clock_hz is constant"),
    ("zeros in weights and activations", "they cost as much as other values"),
    ("another compiler's program for the same network", "the time is that of this program"),
    ("power and energy", "no figure"),
)
"""Pairs: what is left out; how the model treats it and the direction of the error."""
