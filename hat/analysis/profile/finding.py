"""One measurement of the model profiler: what goes on the page and into the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hat.visualize.profile_page import Section
from hat.visualize.profile_tables import Column

LAYER = Column("layer", "layer", text=True)
KIND = Column("kind", "class", text=True)
BITS = Column("bits", "bits")


@dataclass(frozen=True)
class Finding:
    """A section of the page, ``content`` for the JSON file, ``columns`` and ``rows`` for the CSV
    file."""

    section: Section
    content: Any
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
