"""bfloat16 where it is fast, float32 elsewhere, and what was chosen is known."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hat.engine import autocast
from hat.engine.log_once import log_once
from hat.engine.processors import BatchProcessor
from tests.conftest import ROOT
from tests.other_processes import WATCHDOG_SECONDS

CPU = torch.device("cpu")
BF16 = {"fpu", "avx512f", "avx512_bf16"}


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What is said once, and found out once, is so for each test."""
    for cached in (log_once, autocast.missing_on_cpu):
        cached.cache_clear()
    yield
    for cached in (log_once, autocast.missing_on_cpu):
        cached.cache_clear()


def pretend(
    monkeypatch: pytest.MonkeyPatch, capability: str, flags: set[str], limit: str | None = None
) -> None:
    """Let the CPU be another."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(autocast, "cpu_flags", lambda: flags)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)


@pytest.mark.parametrize(
    ("capability", "flags", "limit", "expected", "reason"),
    [
        ("AVX512", BF16, None, "bfloat16", "the CPU has bfloat16 arithmetic"),
        ("AVX512", {"amx_bf16"}, None, "bfloat16", "the CPU has bfloat16 arithmetic"),
        ("AVX512_VNNI", BF16, "AVX512_CORE_AMX", "bfloat16", "the CPU has bfloat16 arithmetic"),
        ("AVX512", BF16, "avx512_core_bf16", "bfloat16", "the CPU has bfloat16 arithmetic"),
        ("AVX512", {"avx512f", "avx512bw"}, None, "float32", "neither avx512_bf16 nor amx_bf16"),
        ("AVX2", {"avx2"}, None, "float32", "torch's kernels are those of AVX2"),
        ("AVX2", BF16, None, "float32", "torch's kernels are those of AVX2"),
        ("DEFAULT", set(), None, "float32", "torch's kernels are those of DEFAULT"),
        ("AVX512", BF16, "AVX512_CORE", "float32", "ONEDNN_MAX_CPU_ISA=AVX512_CORE forbids"),
        ("AVX512", BF16, "AVX2", "float32", "ONEDNN_MAX_CPU_ISA=AVX2 forbids"),
    ],
)
def test_the_cpu_decides(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capability: str,
    flags: set[str],
    limit: str | None,
    expected: str,
    reason: str,
) -> None:
    pretend(monkeypatch, capability, flags, limit)
    assert autocast.forward_dtype(True, CPU) == expected
    assert autocast.forward_dtype(False, CPU) == "float32"
    assert autocast.forward_dtype("force", CPU) == "bfloat16"
    assert autocast.forward_dtype(True, torch.device("cuda", 1)) == "bfloat16"
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with autocast.autocast(True, CPU):
                result = torch.ones(2, 2) @ torch.ones(2, 2)
    assert result.dtype == getattr(torch, expected)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"The forward pass computes in {expected}: enable_amp is")
    assert reason in record.getMessage()


@pytest.mark.parametrize(
    ("enable_amp", "expected"),
    [(True, torch.float32), ("force", torch.bfloat16), (False, torch.float32)],
)
def test_a_batch_processor_computes_in_what_was_chosen(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    enable_amp: bool | str,
    expected: torch.dtype,
) -> None:
    pretend(monkeypatch, "AVX2", {"avx2"})
    processor = BatchProcessor(need_grad_update=False, enable_amp=enable_amp)
    with caplog.at_level(logging.INFO):
        result = processor.forward(lambda x: x["a"] @ x["a"], {"a": torch.ones(2, 2)}, CPU)
    assert result.dtype == expected
    assert len(caplog.records) == (enable_amp is not False)


@pytest.mark.parametrize("wrong", ["yes", "True", 1, None, "bfloat16"])
def test_other_values_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"enable_amp must be False, True .* or 'force'"):
        BatchProcessor(need_grad_update=False, enable_amp=wrong)  # type: ignore[arg-type]


def test_flags_are_read_as_the_system_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\n\nprocessor\t: 1\nflags\t\t: no\n")
    assert autocast.cpu_flags(file) == {"fpu", "avx512_bf16"}
    file.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert autocast.cpu_flags(file) == set()
    assert autocast.cpu_flags(tmp_path / "missing") == set()


def test_a_process_without_avx512_takes_float32() -> None:
    code = "from hat.engine.autocast import forward_dtype as f; print(f(True, 'cpu'))"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2", "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
    )
    assert found.stdout.split() == ["float32"], found.stderr
