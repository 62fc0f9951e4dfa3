"""Entry point of `hat model-checker`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tools.start import start

    start("model_checker")
