"""Names of the limits that a machine may set to an operator of the graph."""

from __future__ import annotations

from horizon.hbir.operators import OPERATORS

INPUT_TYPES = "input_types"
TYPES = ("int8", "int16", "int32")
# ``pixels`` is height times width, of the first input as are height and width;
# ``weights_per_output`` is kernel height times width times input channels.
LIMITS = {name: operator.limits for name, operator in OPERATORS.items()}
# The unit that carries an operator out; what only moves integers is a view unless it cannot be.
UNIT_OF_OPERATOR = {
    name: operator.unit for name, operator in OPERATORS.items() if operator.unit is not None
}
