"""Tolerances of the tests, by name."""

# float64 arithmetic of a few thousand operations.
FLOAT64 = 1e-9
# float32 arithmetic: eager against graph against XLA, relative and absolute.
FLOAT32 = 2e-4
# Reference implementation in float32 against ours.
GOLDEN = 5e-4
# The golden dequantizer's sums: float32, over 784 logarithms, of some 400 nats, and with scaling
# and logit of some 5,000. Our float64 result differs from them by 0.9e-3 and 4.3e-3.
GOLDEN_LOG_Q = 1e-3
GOLDEN_LOG_DET = 5e-3
# First loss and gradients on two replicas against one, relative.
REPLICAS = 1e-5
# Total mass of a density by the midpoint rule.
QUADRATURE = 1e-3
# An adaptive solver of step error 1e-9 against the derivative of what it computes.
ODE = 1e-7
