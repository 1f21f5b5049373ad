"""Tolerances of the tests, by name."""

# float64 arithmetic of a few thousand operations.
FLOAT64 = 1e-9
# float32 arithmetic: eager against graph against XLA, relative and absolute.
FLOAT32 = 2e-4
# Reference implementation in float32 against ours.
GOLDEN = 5e-4
# The golden dequantizer loses digits next to the ends of the interval (see test_golden.py).
GOLDEN_DEQUANTIZER = 5e-3
# First loss and gradients on two replicas against one, relative.
REPLICAS = 1e-5
