"""The arithmetic of ``fixed_point.md`` in torch: training, exact on any device, native on a CPU."""
