from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.sandbox import Sandbox, make_sandbox


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, generated_chairs: Path) -> Sandbox:
    """Tiny data under the names that the pages use."""
    return make_sandbox(tmp_path_factory.mktemp("docs"), generated_chairs)
