"""Runs prepared cases with this process's kernels; prints what differs from the reference, as JSON.

``python -m tests.csrc.exact_worker FOLDER [NAME-BEGINS-WITH]``. Each case is NAME.hbm and NAME.npz,
with arrays "in INDEX NAME" and "out INDEX NAME" of INDEX = 0, 1, ... runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from horizon.runtime import Model, kernels_name

THREADS = (1, 2, 3)


def differences(file: Path) -> list[str]:
    """One line for each output of a run that is not equal."""
    arrays = np.load(file.with_suffix(".npz"))
    keys = [key.split(" ", 2) for key in arrays.files]
    found = []
    for threads in THREADS:
        # One model for all runs: what a run leaves in memory must not matter to the next.
        model = Model(file, threads=threads)
        for run in sorted({index for _, index, _ in keys}):

            def of(kind: str, run: str = run) -> dict[str, np.ndarray]:
                return {
                    name: arrays[f"{kind} {run} {name}"]
                    for what, index, name in keys
                    if (what, index) == (kind, run)
                }

            outputs = model.run(of("in"))
            for name, expected in of("out").items():
                count = int((outputs[name] != expected).sum())
                if count or outputs[name].shape != expected.shape:
                    what = f"output {name}: {count} of {expected.size} integers differ"
                    found.append(f"{file.stem}, run {run}, {threads} threads: {what}")
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    files = sorted(folder.glob(f"{sys.argv[2] if len(sys.argv) > 2 else ''}*.hbm"))
    found = [line for file in files for line in differences(file)]
    print(json.dumps({"kernels": kernels_name(), "cases": len(files), "differences": found}))


if __name__ == "__main__":
    main()
