"""Where the real sample files are, for tests that use them."""

from __future__ import annotations

from pathlib import Path

from tests.missing import skip_without

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """The path of a real sample file or folder; skips the calling test where it is missing."""
    path = SHARED_DATA.joinpath(*parts)
    if not path.exists():
        skip_without("real samples", f"{'/'.join(parts)} is not in {SHARED_DATA}")
    return path
