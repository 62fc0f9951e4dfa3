"""All speed figures of this CPU, in a file of their own, and a table of all measured CPUs.

``python -m benchmarks.cpu_speed [--rounds N]``  measures and writes ``results/cpus/NAME.json``
``python -m benchmarks.cpu_speed --table``       prints a table of these files

Runs ``runtime_speed`` for both networks and each instruction set of the CPU, each time in a new
process, because OpenVINO's instruction set is fixed when its library is loaded. Run nothing else at
the same time.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine_use import cpu_name
from benchmarks.runtimes import NETWORKS
from hat.data.files import write_json
from horizon.cpus import cpuinfo, usable_cpus
from horizon.runtime import available_kernels

FOLDER = Path(__file__).parent / "results" / "cpus"
SETS = ("amx", "avx512", "avxvnni", "avx2", "neon")
TITLES = {
    "amx": "AMX",
    "avx512": "AVX-512 VNNI",
    "avxvnni": "AVX-VNNI",
    "avx2": "AVX2",
    "neon": "NEON",
}
OPENVINO = "to OpenVINO int8, the quicker precision of the rest"
HEADER = (
    "| CPU, threads | instructions | network | ms | to OpenVINO int8 | to ONNX Runtime int8 "
    "| to PyTorch float32 | to DIS medium | of the peak |",
    "|---|---|---|---|---|---|---|---|---|",
)


def cpu() -> dict[str, Any]:
    """The name and properties of this CPU."""
    fields, name = cpuinfo(), cpu_name()
    numbers = [fields[key] for key in ("cpu family", "model") if key in fields]
    return {
        "name": name,
        "family and model": " ".join(numbers),
        "cores": usable_cpus(),
        "kernels": [name for name in SETS if name in available_kernels()],
    }


def measure(rounds: int) -> Path:
    found = cpu()
    runs = []
    for network in NETWORKS:
        for kernels in found["kernels"]:
            print(f"--- {network}, {kernels}", file=sys.stderr)
            best = kernels == found["kernels"][0]
            with tempfile.TemporaryDirectory() as folder:
                result = Path(folder) / "result.json"
                words = [sys.executable, "-m", "benchmarks.runtime_speed", "--network", network]
                words += ["--kernels", kernels, "--rounds", str(rounds), "--json", str(result)]
                words += ["--sizes"] * best
                subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
                runs.append(json.loads(result.read_text()))
    words = f"{found['name']} {found['family and model']} {found['cores']} cores"
    name = re.sub("[^a-z0-9]+", "-", words.lower()).strip("-")
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    write_json(path, {"cpu": found, "runs": runs})
    return path


def table() -> list[str]:
    """Rows in Markdown for every CPU that was measured."""
    lines = list(HEADER)
    for path in sorted(FOLDER.glob("*.json")):
        result = json.loads(path.read_text())
        found = result["cpu"]
        for run in result["runs"]:
            ratios = run["ratio of the program"]

            def ratio(name: str, ratios: dict[str, float] = ratios) -> str:
                return f"{ratios[name]:.2f}" if name in ratios else ""

            share = run.get("share of that")
            cells = [
                f"{found['name']} ({found['family and model']}), {run['threads']}",
                TITLES[run["kernels"]],
                run["network"],
                f"{run['ms']['host program']:.1f}",
                ratio(OPENVINO),
                ratio("to ONNX Runtime int8"),
                ratio("to PyTorch fp32, the quicker format"),
                ratio("to OpenCV DIS medium"),
                "" if share is None else f"{share:.2f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--table", action="store_true", help="measure nothing, print the table")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds: expected 1 or more, found {arguments.rounds}")
    if not arguments.table:
        print(f"written: {measure(arguments.rounds)}", file=sys.stderr)
    print("\n".join(table()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
