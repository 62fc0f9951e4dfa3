"""What the timing model leaves out: the list of ``docs/performance.md``, for reports."""

from __future__ import annotations

LEFT_OUT = (
    (
        "the host: driver, interrupts, conversion of images",
        "it is no instruction; the estimate is too low by it",
    ),
    (
        "DDR's rows, banks, refresh, turns between reading and writing",
        "one factor, ddr_efficiency",
    ),
    ("cameras, displays, CPUs on the same DDR", "lower ddr_bytes_per_second for them"),
    (
        "cores that do not need their share of the bandwidth",
        "the others do not get it; too high where cores are out of step",
    ),
    (
        "conflicts between units in SRAM, and its banks",
        "too low where several units move much at once",
    ),
    ("fetching and decoding of instructions, the channel tables", "part of startup_cycles"),
    (
        "a transfer's startup during the one before it",
        "units do one thing at a time; too high for many small loads",
    ),
    ("caches of a CPU", "one bandwidth, near and far; too low for tensors that do not fit"),
    ("clocks that change with heat and load", "clock_hz is constant"),
    ("zeros in weights and activations", "they cost as much as others"),
    ("another compiler's program for the same network", "the time is that of this program"),
    ("power and energy", "no figure"),
)
"""(what, why and which way it errs) each."""
