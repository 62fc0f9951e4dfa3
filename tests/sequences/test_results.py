"""Files of one pair."""

from __future__ import annotations

import numpy as np
import pytest

from hat.errors import InputError
from hat.sequences.results import check_finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_flow_that_is_not_finite_is_told(value: float) -> None:
    flow = np.full((20, 30, 2), 3e38, np.float32)  # whose sum overflows
    check_finite(flow, "a")
    flow[7, 8, 1] = value
    with pytest.raises(InputError, match="a: the network's flow is NaN or infinite in 1 of 600"):
        check_finite(flow, "a")
