"""From samples to batches; configs name ``hat.data.collates.collates.collate_2d`` as well."""

from hat.data.collates import collates
from hat.data.collates.collates import CollateBySize, collate_2d
from hat.data.collates.named import NamedCollate

__all__ = ["CollateBySize", "NamedCollate", "collate_2d", "collates"]
