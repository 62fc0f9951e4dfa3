"""A few steps of everything that a config names, to see that it works.

A class whose objects take long, or write, says itself how its arguments change for such a test, by
a static method ``for_pipeline_test(arguments, test) -> arguments``; classes derived from it inherit
that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hat.registry import Component, components


@dataclass(frozen=True)
class PipelineTest:
    """How short the test is, and where its files go.

    Attributes:
        folder: takes everything that is written.
        steps: training steps or calibration batches.
        batches: batches of a validation.
        stand_in: gives a packed data set in the place of one that does not exist.
    """

    folder: Path
    stand_in: Callable[[str], Path]
    steps: int = 3
    batches: int = 2


def shorten(trainer: Component, test: PipelineTest) -> None:
    """Let every component of ``trainer`` that can be shortened be so, in place."""
    for component in components(trainer):
        change: Callable[..., dict[str, Any]] | None = getattr(
            component.target, "for_pipeline_test", None
        )
        if change is not None:
            component.arguments = change(component.arguments, test)
