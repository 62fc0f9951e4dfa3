"""Names of the limits that a machine may set for an operator of the graph."""

from __future__ import annotations

from horizon.hbir.operators import OPERATORS

INPUT_TYPES = "input_types"
TYPES = ("int8", "int16", "int32")
# ``height``, ``width`` and ``pixels`` (height times width) are those of the first input.
# ``weights_per_output`` is kernel height times kernel width times input channels.
LIMITS = {name: operator.limits for name, operator in OPERATORS.items()}
# The unit that executes an operator. Operators that only move integers have none: they are views,
# or copies where a view is impossible.
UNIT_OF_OPERATOR = {
    name: operator.unit for name, operator in OPERATORS.items() if operator.unit is not None
}
