"""A description with every kind of key, for tests that read it or spoil it."""

from __future__ import annotations

GOOD = """\
name = "mine"
title = "My accelerator"
units = ["store", "load", "tensor"]
sequential = false
cores = { value = 2, provenance = "published", source = "data sheet, page 3" }
workers = { value = 1, provenance = "assumed", source = "one" }
clock_hz = { value = 1.5e9, provenance = "published", source = "data sheet" }

[memory]
constants_in_place = false
sram_bytes = { value = 524288, provenance = "fitted", source = "largest program that ran" }
alignment = { value = 128, provenance = "assumed", source = "width of its bus" }
sram_bytes_per_cycle = { value = 256, provenance = "assumed", source = "a line" }
ddr_bytes_per_second = { value = 17e9, provenance = "published", source = "data sheet" }
ddr_efficiency = { value = 0.5, provenance = "fitted", source = "a copy" }
burst_bytes = { value = 32, provenance = "published", source = "JEDEC" }

[load]
startup_cycles = { value = 70, provenance = "assumed", source = "latency" }
pixel_cycles = { value = 0, provenance = "assumed", source = "none" }
bytes_per_cycle = { value = 16, provenance = "assumed", source = "a bus" }

[store]
startup_cycles = { value = 80, provenance = "assumed", source = "latency" }
pixel_cycles = { value = 0, provenance = "assumed", source = "none" }
bytes_per_cycle = { value = 12.5, provenance = "assumed", source = "a bus" }

[tensor]
startup_cycles = { value = 0, provenance = "assumed", source = "none" }
int16_steps = { value = 2, provenance = "assumed", source = "two halves" }

[tensor.conv]
pixels = { value = 8, provenance = "assumed", source = "an array" }
inputs = { value = 32, provenance = "assumed", source = "an array" }
outputs = { value = 64, provenance = "assumed", source = "an array" }
step_cycles = { value = 1, provenance = "assumed", source = "an array" }
drain_cycles = { value = 4, provenance = "assumed", source = "an array" }

[tensor.narrow]
pixels = { value = 7, provenance = "assumed", source = "an array" }
inputs = { value = 32, provenance = "assumed", source = "an array" }
outputs = { value = 6, provenance = "assumed", source = "an array" }
step_cycles = { value = 1, provenance = "assumed", source = "an array" }
drain_cycles = { value = 4, provenance = "assumed", source = "an array" }

[tensor.correlation]
pixels = { value = 1, provenance = "assumed", source = "an array" }
inputs = { value = 32, provenance = "assumed", source = "an array" }
outputs = { value = 9, provenance = "assumed", source = "an array" }
step_cycles = { value = 2, provenance = "assumed", source = "an array" }
drain_cycles = { value = 0, provenance = "assumed", source = "an array" }

[limits.conv2d]
input_types = ["int16", "int8"]
kernel = { value = 7, provenance = "published", source = "manual" }
weights_per_output = { value = 32768, provenance = "published", source = "manual" }
height = { value = 4096, provenance = "published", source = "manual" }
width = { value = 2048, provenance = "published", source = "manual" }
pixels = { value = 1048576, provenance = "published", source = "manual" }
"""
