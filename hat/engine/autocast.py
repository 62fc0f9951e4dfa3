"""Which type the forward pass computes in: bfloat16 where it is asked for and fast.

A GPU has arithmetic for bfloat16. Of CPUs, those that have not (``avx512_bf16`` or ``amx_bf16``)
convert every number back and forth: with AVX-512 that gains nothing, and with AVX2 a training step
of the lite network takes 5.7 times as long as in float32.

The choice follows from the CPU and the environment alone, never from a measurement, so that a run
gives the same bits again.
"""

from __future__ import annotations

import functools
import logging
import os
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from hat.engine.log_once import log_once
from horizon.cpus import cpuinfo

logger = logging.getLogger(__name__)

FORCE = "force"
BFLOAT16, FLOAT32 = "bfloat16", "float32"
CPU_FLAGS = ("avx512_bf16", "amx_bf16")
BFLOAT16_ISA = ("BF16", "FP16", "AMX", "AVX10", "DEFAULT", "ALL")
"""Parts of the values of ONEDNN_MAX_CPU_ISA that leave oneDNN its bfloat16."""


def check_enable_amp(value: object) -> bool | str:
    """``enable_amp`` of a config: False, True (where it is fast) or "force" (everywhere).

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, bool) or value == FORCE:
        return value
    raise ValueError(
        f"enable_amp must be False, True (bfloat16 where the device is fast at it) or {FORCE!r} "
        f"(bfloat16 on any device), found {value!r}"
    )


def forward_dtype(enable_amp: bool | str, device: torch.device | str) -> str:
    """The type of the forward pass on ``device``: "bfloat16" or "float32".

    Runs that differ in it give other bits.
    """
    return _choice(enable_amp, torch.device(device).type)[0]


def autocast(enable_amp: bool | str, device: torch.device) -> AbstractContextManager:
    """The context of a forward pass on ``device``; the log says once what was chosen and why."""
    if not enable_amp:
        return torch.autocast(device.type, torch.bfloat16, enabled=False)
    dtype, reason = _choice(enable_amp, device.type)
    log_once(logger, f"The forward pass computes in {dtype}: {reason}")
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == BFLOAT16)


def _choice(enable_amp: bool | str, kind: str) -> tuple[str, str]:
    """Type and reason."""
    if not enable_amp:
        return FLOAT32, "enable_amp is False"
    if enable_amp == FORCE:
        return BFLOAT16, f"enable_amp is {FORCE!r}"
    if kind != "cpu":
        return BFLOAT16, f"enable_amp is True, and the device is {kind}"
    missing = missing_on_cpu()
    if missing is None:
        return BFLOAT16, "enable_amp is True, and the CPU has bfloat16 arithmetic"
    return FLOAT32, (
        f"enable_amp is True, but {missing}, without which bfloat16 is slower than float32 "
        f"(enable_amp={FORCE!r} uses it all the same)"
    )


@functools.cache
def missing_on_cpu() -> str | None:
    """Why bfloat16 is not fast on this CPU, as a clause; None if it is."""
    capability = torch.backends.cpu.get_cpu_capability()
    if not capability.startswith("AVX512"):
        return f"torch's kernels are those of {capability} and not of AVX512"
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    if not any(part in limit.upper() for part in BFLOAT16_ISA):
        return f"ONEDNN_MAX_CPU_ISA={limit} forbids oneDNN the CPU's bfloat16 arithmetic"
    if not cpu_flags() & set(CPU_FLAGS):
        return f"the CPU has neither {' nor '.join(CPU_FLAGS)}"
    return None


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The features that the system says the CPU has; none where there is no such file."""
    return set(cpuinfo(path).get("flags", "").split())
