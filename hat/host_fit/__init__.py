"""Fit a machine description of this CPU to measured times: docs/host_estimate.md."""
