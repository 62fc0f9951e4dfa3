"""A machine description of this CPU, fitted to measured times: docs/host_estimate.md."""
