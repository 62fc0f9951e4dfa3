"""Exceptions of the toolkit (see :mod:`horizon.errors`)."""

from horizon.errors import InputError

__all__ = ["InputError"]
