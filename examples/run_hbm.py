"""A compiled program in numpy: what it takes, what it gives, how its integers become numbers.

python examples/run_hbm.py model.hbm

`hat compile-perf` makes such a file. PyTorch is not needed: horizon-runtime is enough.
"""

import sys

import numpy as np

from horizon.runtime import Model

model = Model(sys.argv[1], threads=2)
arrays = {}
for entry in model.inputs:
    print(f"takes {entry.name}: {entry.dtype} {entry.shape} {entry.layout}")
    arrays[entry.name] = np.zeros(entry.shape, entry.dtype)  # put your data here

outputs = model.run(arrays)
for tensor in model.outputs:
    integers = outputs[tensor.name]
    shape = [-1 if axis == "C" else 1 for axis in tensor.layout]  # one scale, or one per channel
    numbers = (integers - tensor.zero_point) * np.reshape(tensor.scales, shape)
    print(f"gives {tensor.name}: {integers.dtype} {integers.shape} {tensor.layout}")
    print(
        f"  integers {integers.min()}..{integers.max()}: {numbers.min():.3f}..{numbers.max():.3f}"
    )
