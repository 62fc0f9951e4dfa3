"""The page of a run's folder, which grows while it trains, and the pictures in it."""

from hat.run_page.callback import RunPage

__all__ = ["RunPage"]
