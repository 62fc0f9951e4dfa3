"""Fixed-point tool chain: quantisable layers, quantisation, program graph, compiler, runtime."""
