"""Learning-rate schedules: each sets hyper[0] from the step number alone, with Keras' formulas.

s is the number of steps that the optimizer has taken before this one; d, the decay's steps, and the rest stand in
`numbers`, in the order of the schedule's arguments.

    exponential_decay         lr = initial rate^(s / d)                           staircase: floor(s / d)
    inverse_time_decay        lr = initial / (1 + rate s / d)                     staircase: floor(s / d)
    polynomial_decay          lr = (initial - end) (1 - s / d)^power + end        s at most d, or d its next multiple
    piecewise_constant_decay  lr = values[k], k the number of boundaries below s
    cosine_decay              lr = initial ((1 - alpha) (1 + cos(pi s / d)) / 2 + alpha), after a linear warmup
    cosine_decay_restarts     the same, again and again, each time t_mul as long and m_mul as high

Source: Keras; the cosine and its restarts are Loshchilov & Hutter's (SGDR, ICLR 2017).
"""

import math

from .abi import STEP, kernel

SPEC = "numbers[N]:f8 control[C]:i8 first:int -> !hyper[Y]:f8"


@kernel(SPEC)
def exponential_decay(numbers, control, first, hyper):
    """Set the rate to initial * rate^(s / d); numbers = (initial, d, rate, staircase)."""
    p = (control[STEP] - first) / numbers[1]
    hyper[0] = numbers[0] * math.pow(numbers[2], math.floor(p) if numbers[3] != 0 else p)


@kernel(SPEC)
def inverse_time_decay(numbers, control, first, hyper):
    """Set the rate to initial / (1 + rate s / d); numbers = (initial, d, rate, staircase)."""
    p = (control[STEP] - first) / numbers[1]
    hyper[0] = numbers[0] / (1.0 + numbers[2] * (math.floor(p) if numbers[3] != 0 else p))


@kernel(SPEC)
def polynomial_decay(numbers, control, first, hyper):
    """Go from the initial to the end rate within d steps; numbers = (initial, d, end, power, cycle)."""
    step, steps = float(control[STEP] - first), numbers[1]
    if numbers[4] != 0:
        steps *= max(1.0, math.ceil(step / steps))
    left = 1.0 - min(step, steps) / steps
    hyper[0] = (numbers[0] - numbers[2]) * math.pow(left, numbers[3]) + numbers[2]


@kernel(SPEC)
def piecewise_constant_decay(numbers, control, first, hyper):
    """Take one of some values; numbers = (boundaries, then one value more than there are boundaries)."""
    count, k = numbers.size // 2, 0
    while k < count and control[STEP] - first > numbers[k]:
        k += 1
    hyper[0] = numbers[count + k]


@kernel(SPEC)
def cosine_decay(numbers, control, first, hyper):
    """Go down half a cosine; numbers = (initial, d, alpha, warmup's target or below 0, warmup's steps)."""
    initial, steps, alpha, target, warmup = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    step = float(control[STEP] - first)
    if target < 0:
        target, warmup = initial, 0.0
    if step < warmup:
        hyper[0] = (target - initial) * (step / warmup) + initial
    else:
        done = min(step - warmup, steps) / steps
        hyper[0] = target * ((1.0 - alpha) * (0.5 * (1.0 + math.cos(math.pi * done))) + alpha)


@kernel(SPEC)
def cosine_decay_restarts(numbers, control, first, hyper):
    """Go down half a cosine again and again; numbers = (initial, steps of the first, t_mul, m_mul, alpha)."""
    initial, steps, longer, higher, alpha = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    step, restarts = float(control[STEP] - first), 0.0
    if longer == 1.0:
        restarts = math.floor(step / steps)
        step -= restarts * steps
    else:
        while step >= steps:
            step, steps, restarts = step - steps, steps * longer, restarts + 1.0
    cosine = 0.5 * math.pow(higher, restarts) * (1.0 + math.cos(math.pi * step / steps))
    hyper[0] = initial * ((1.0 - alpha) * cosine + alpha)
