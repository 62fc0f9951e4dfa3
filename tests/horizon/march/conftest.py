from __future__ import annotations

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes a description to a file; its path."""

    def to_file(text: str | bytes):
        path = tmp_path / "mine.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return to_file
