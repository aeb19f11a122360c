"""Counter-based randomness: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3,
SC 2011). A number depends on (seed, purpose, epoch or step, index) alone: no state, the same on every thread.
"""

import numpy as np

from .abi import jit

SHUFFLE = 1  # purposes: the first word of the counter

_u = np.uint64
_M0, _M1, _W0, _W1 = _u(0xD2511F53), _u(0xCD9E8D57), _u(0x9E3779B9), _u(0xBB67AE85)
_LOW, _SHIFT = _u(0xFFFFFFFF), _u(32)


@jit
def philox(seed, purpose, epoch, index):
    """Return four 32-bit numbers (as uint64) for a 64-bit seed and the counter (index, index high, epoch, purpose)."""
    k0, k1 = np.uint64(seed) & _LOW, np.uint64(seed) >> _SHIFT
    c0, c1 = np.uint64(index) & _LOW, np.uint64(index) >> _SHIFT
    c2, c3 = np.uint64(epoch) & _LOW, np.uint64(purpose)
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@jit
def permute(order, seed, epoch):
    """Fill `order` with the epoch's permutation (Fisher and Yates); the bias of the bounded draw is below n / 2^32."""
    n = order.size
    for i in range(n):
        order[i] = i
    i = n - 1
    while i > 0:
        for draw in philox(seed, SHUFFLE, epoch, i):
            if i > 0:
                j = np.int64((draw * np.uint64(i + 1)) >> _SHIFT)
                order[i], order[j] = order[j], order[i]
                i -= 1
