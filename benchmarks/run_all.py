"""Runs all comparisons, one after the other; writes ``benchmarks/results/*.json``.

``python -m benchmarks.run_all [NAME ...]``

Run nothing else at the same time. Every script compares its sides in one run, interleaved, and
prints ratios.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
NAMES = (
    "record_speed",
    "augmentation_speed",
    "training_step",
    "training_speed",
    "learning",
    "data_wait",
    "flow_quality",
    "qat_step",
    "integer_forward",
    "calibration_choices",
    "fixed_point_quality",
    "full_size",
    "executors",
    "operators",
    "cpu_speed",
    "classifier_speed",
    "machines",
    "host_estimate",
    "board_validation",
    "flow_model",
    "ways_out",
)
OWN_FILES = {"cpu_speed"}  # scripts that name their result files themselves, one for each CPU


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)} (default: all)")
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    RESULTS.mkdir(exist_ok=True)
    failed = []
    for name in names:
        print(f"\n=== {name}", flush=True)
        words = [] if name in OWN_FILES else ["--json", str(RESULTS / f"{name}.json")]
        command = [sys.executable, "-m", f"benchmarks.{name}", *words]
        if subprocess.run(command).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
