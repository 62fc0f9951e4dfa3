"""Values that configs import from modules of the original tool kit."""

from __future__ import annotations

from enum import Enum
from typing import Any

import horizon.march

__all__ = ["ConfigVersion", "March", "set_march"]


class ConfigVersion(Enum):
    """Layouts of configs. All of them are read alike: names decide, not the version."""

    v1 = 1
    v2 = 2
    v3 = 3


class _Machines:
    """Names of machine descriptions by the spelling of constants: ``BAYES_E`` is "bayes-e"."""

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        machines = {machine.upper().replace("-", "_"): machine for machine in self._known()}
        if name not in machines:
            raise AttributeError(
                f"March.{name}: there is no machine of that name; expected one of "
                f"{', '.join(machines)}, or the path of a description in compile_cfg.march"
            )
        return machines[name]

    @staticmethod
    def _known() -> tuple[str, ...]:
        return horizon.march.available()


March = _Machines()


def set_march(march: Any) -> None:
    """Check the name of a machine. Nothing is set: ``compile_cfg.march`` and --march choose it."""
    horizon.march.load(march)
