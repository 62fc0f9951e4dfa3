"""Numbers for people."""

from __future__ import annotations

import pytest

from hat.deploy.estimate_rows import number, speed_line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12380.26, "12380"),
        (1234567.8, "1234568"),
        (161.5221, "161.52"),
        (3.4973, "3.4973"),
        (0.001234567, "0.0012346"),
    ],
)
def test_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_the_line_that_scripts_look_for() -> None:
    line = speed_line({"FPS": 161.5221, "latency (us)": 12382.3})
    assert line == "FPS=161.52, latency = 12382 us"
