"""Entry point of `hat flyingchairs-generator`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tools.start import start

    start("flyingchairs_generator")
