"""What a new installation must do, in an empty folder; ``try_wheels.py`` runs it.

Prints a digest of integers that every machine and every instruction set must give.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from horizon.runtime import Model, available_kernels, c_include_directory, c_library
from horizon_flow import FlowModel, shipped_networks

SHIFT = 5  # pixels to the right


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Two pictures (128, 192, 3) of one texture, the second one shifted."""
    rows, columns = np.mgrid[0:128, 0:192]
    values = [(rows * 7 * k + columns * 13) ^ (rows // 8 * columns // 8 * k) for k in (1, 2, 3)]
    first = (np.stack(values, -1) & 255).astype(np.uint8)
    return first, np.roll(first, SHIFT, axis=1)


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def integers(program: Path) -> str:
    """The digest of a program's outputs for a made-up input."""
    model = Model(program)
    values = np.random.default_rng(0)
    inputs = {
        t.name: values.integers(0, 128, t.shape, np.uint8).astype(t.dtype) for t in model.inputs
    }
    return "".join(digest(output) for output in model.run(inputs).values())


def main() -> None:
    if len(sys.argv) > 1:
        print(integers(Path(sys.argv[1])))
        return
    first, second = pictures()
    for name in shipped_networks():
        flow = FlowModel(name, cache_dir=name)(first, second)
        assert flow.shape == (128, 192, 2), flow.shape
        assert np.isfinite(flow).all()
        (program,) = Path(name).glob("*.hbm")
        found = {}
        for kernels in available_kernels():
            command = [os.environ.get("PYTHON", sys.executable), __file__, str(program)]
            environment = os.environ | {"HORIZON_KERNELS": kernels}
            result = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert result.returncode == 0, result.stderr
            found[kernels] = result.stdout.strip()
        assert len(set(found.values())) == 1, found
        print(f"{name}: integers {found['scalar']} with {', '.join(found)}")
    assert c_library().is_file()
    assert (c_include_directory() / "horizon_runtime.h").is_file()


if __name__ == "__main__":
    main()
