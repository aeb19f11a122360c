"""Slow, obvious twins of the kernels of feedback.py; see reference.py."""

import math

import numpy as np
from reference import POSITION, SEED, STEP, philox


def lag(fed, first, W):
    W, O = W.copy(), fed.shape[2]
    k = len(fed) - len(W) + 1
    for t in range(len(W)):
        before = [fed[t + k - j] for j in range(1, k + 1)]  # y_(t-1), y_(t-2), ...
        W[t, :, first : first + k * O] = np.concatenate(before, axis=1)
    return {"W": W}


def lag_back(dW, first, skip, dfed):
    dfed, O = dfed.copy(), dfed.shape[2]
    k = len(dfed) - len(dW) + 1
    for t in range(len(dW)):
        for j in range(1, k + 1):
            if t + k - j >= skip:
                dfed[t + k - j] += dW[t, :, first + (j - 1) * O : first + j * O]
    return {"dfed": dfed}


def probability(step, kind, rate, start, stop):
    """Return the share of targets at a step, from numbers in units of 2^-32."""
    k, start, stop = (number / 2**32 for number in (rate, start, stop))
    falling = (1 - k * step, k**step, k / (k + math.exp(min(step / k, 700))))[kind]
    return max(stop, start * falling)


def draw_coins(control, seed, purpose, kind, rate, start, stop, coins):
    key = int(control[SEED]) if seed < 0 else seed
    step, share = int(control[STEP]), probability(int(control[STEP]), kind, rate, start, stop)
    coins, T = coins.copy(), len(coins)
    for t in range(T):
        for i in range(coins.shape[1]):
            index = (int(control[POSITION]) + i) * T + t
            word = philox((index % 2**32, index >> 32, step, purpose), (key % 2**32, key >> 32))[0]
            coins[t, i] = word / 2**32 < share
    return {"coins": coins}


def choose(y, target, coin, fed):
    return {"fed": np.where(coin.real[:, None] > 0, target, y)}


def choose_back(dfed, coin, dy):
    return {"dy": dy + np.where(coin.real[:, None] > 0, 0, dfed)}
