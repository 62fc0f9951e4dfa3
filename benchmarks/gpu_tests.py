"""Runs the tests that need a GPU, and the full network's training step beside a plain one.

``python -m benchmarks.gpu_tests [--timeout SECONDS] [--json FILE]``

Without a GPU all of these tests are skipped, and the result says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hat.data.files import json_text, write_json

ROOT = Path(__file__).resolve().parents[1]
PATHS, MARK = ("tests/gpu",), "gpu"


def run_tests(timeout: float, paths: Sequence[str] = PATHS) -> dict[str, Any]:
    """Run the tests that are marked for a GPU; the outcome of each."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = ["-m", "pytest", *paths, "-m", MARK, "-q", f"--junitxml={report}"]
        try:
            done = subprocess.run(
                [sys.executable, *words, "-p", "no:cacheprovider"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return {"passed": False, "error": f"not done after {timeout:.0f} s"}
        if not report.is_file():
            last = (done.stdout.strip().splitlines() or ["no output"])[-1]
            return {"passed": False, "error": f"pytest gave no report: {last}"}
        results = dict(outcomes(report))
    kinds = list(results.values())
    failed = {name: said for name, said in results.items() if said not in ("passed", "skipped")}
    return {
        # without a GPU no test has passed, which is not a success
        "passed": not failed and done.returncode == 0 and "passed" in kinds,
        "passed tests": kinds.count("passed"),
        "skipped tests": kinds.count("skipped"),
        "failed": failed,
        "seconds": round(time.monotonic() - started, 1),
        "tests": results,
    }


def outcomes(report: Path) -> list[tuple[str, str]]:
    """Name and "passed", "skipped" or the message of each test of a JUnit report."""
    found = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        outcome = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = (child.get("message") or child.tag).splitlines()[0]
            elif child.tag == "skipped":
                outcome = "skipped"
        found.append((name, outcome))
    return found


def training_step(timeout: float) -> dict[str, Any]:
    """``benchmarks.training_step`` of the full network on the GPU."""
    if not torch.cuda.is_available():
        return {"skipped": "no GPU"}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "step.json"
        words = ["--device", "cuda", "--batch-size", "8", "--rounds", "10", "--json", str(result)]
        command = [sys.executable, "-m", "benchmarks.training_step", *words]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            return {"error": f"not done after {timeout:.0f} s"}
        if done.returncode:
            return {"error": (done.stderr.strip().splitlines() or ["?"])[-1]}
        return dict(json.loads(result.read_text()))


def run_all(timeout: float) -> dict[str, Any]:
    """Run the tests and the training step, in at most ``timeout`` seconds."""
    started = time.monotonic()
    tests = run_tests(timeout)
    left = max(10.0, timeout - (time.monotonic() - started))
    return {"tests": tests, "training step": training_step(left)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds (default: 300)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = run_all(arguments.timeout)
    print(json_text(result, indent=2))
    if arguments.json:
        write_json(arguments.json, result)
    if not torch.cuda.is_available():
        print("NO GPU: none of these tests has run.", file=sys.stderr)
        return 0
    return int(not result["tests"]["passed"] or "error" in result["training step"])


if __name__ == "__main__":
    sys.exit(main())
