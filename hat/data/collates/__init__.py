"""From samples to batches; configs name ``hat.data.collates.collates.collate_2d`` as well."""

from hat.data.collates import collates
from hat.data.collates.collates import collate_2d

__all__ = ["collate_2d", "collates"]
