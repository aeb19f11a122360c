"""The dense layer: a = x W + b, y = act(a), on every row of x alike. Its backward is made of three shared kernels:
activation_backward (da = dy * act'(a)), weight_gradient (dW = x^T da) and input_gradient (dx = da W^T).

Letters: N rows (samples, or steps times samples), F features in, O units.
"""

from .abi import kernel
from .gemm import neurons


@kernel(
    "x[N,F] W[F,O] P[Q,F,L]? b[O]? activation:int -> y[N,O] a[N,O]?",
    flops=lambda d: 2 * d["N"] * d["F"] * d["O"],
)
def dense_forward(x, W, P, b, activation, y, a):
    """Compute the layer's output; `a`, where it is asked for, keeps the pre-activations."""
    neurons(y, a, x, W, P, x, 0, W, P, b, activation)
