"""Configs that were written for the original tool kit, in the words of this one.

``table`` holds every name that differs, as data. ``translate`` rewrites the types and arguments of
a config by it, ``sections`` what is left, and both note what they changed; ``modules`` gives a
config the modules that it imports; ``metric_scale`` and ``pair_inputs`` adapt its functions.
docs/migrating.md is the table for readers.
"""

from hat.migration.notes import Kind, Note
from hat.migration.translate import translate

__all__ = ["Kind", "Note", "translate"]
