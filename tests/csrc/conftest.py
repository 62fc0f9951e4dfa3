from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="package")
def five_cpus():
    """Five threads share the work on any machine, also on one that has fewer CPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HORIZON_CPUS", "5")
        yield
