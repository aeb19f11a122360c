"""Modules with custom cells, as a researcher writes them: minGRU from the docs, and others."""

import functools
import importlib.util
import re
import sys
import tempfile
from pathlib import Path

from nbrnn.kernels import KERNELS
from nbrnn.layers import LAYERS

DOCS = Path(__file__).parents[1] / "docs" / "custom-cells.md"
MIN_GRU = re.search(r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.S | re.M)[1]

OWN_LSTM = '''
import nbrnn
from nbrnn.cells import add_outer, add_product, add_sum, affine, product, sigmoid, tanh


class OwnLSTM(nbrnn.Cell):
    """i, f, n, o = gates(x Wx + h_prev Wh + b), c = f c_prev + i n, h = o tanh(c)."""

    params = "Wx[D,4H] Wh[H,4H] b[4H]"
    carry = "h[B,H] c[B,H]"
    tape = "g[B,4H] s[B,H]"
    scratch = "da[B,4H]"

    @staticmethod
    def forward(x, h_prev, c_prev, Wx, Wh, b, h, c, g, s):
        H = h.shape[1]
        affine(g, x, Wx, b)
        add_product(g, h_prev, Wh)
        for k in range(h.shape[0]):
            for j in range(4 * H):
                g[k, j] = tanh(g[k, j]) if j // H == 2 else sigmoid(g[k, j])
            for j in range(H):
                c[k, j] = g[k, H + j] * c_prev[k, j] + g[k, j] * g[k, 2 * H + j]
                s[k, j] = tanh(c[k, j])
                h[k, j] = g[k, 3 * H + j] * s[k, j]

    @staticmethod
    def backward(dh, dc, g, s, x, h_prev, c_prev, Wx_T, Wh_T, da, dx, dh_prev, dc_prev, dWx, dWh, db):
        H = dh.shape[1]
        i, f, n, o = g[:, :H], g[:, H : 2 * H], g[:, 2 * H : 3 * H], g[:, 3 * H :]
        for k in range(dh.shape[0]):
            for j in range(H):
                d = dc[k, j] + dh[k, j] * o[k, j] * (1 - s[k, j] * s[k, j])
                da[k, j] = d * n[k, j] * i[k, j] * (1 - i[k, j])
                da[k, H + j] = d * c_prev[k, j] * f[k, j] * (1 - f[k, j])
                da[k, 2 * H + j] = d * i[k, j] * (1 - n[k, j] * n[k, j])
                da[k, 3 * H + j] = dh[k, j] * s[k, j] * o[k, j] * (1 - o[k, j])
                dc_prev[k, j] = d * f[k, j]
        product(dx, da, Wx_T)
        product(dh_prev, da, Wh_T)
        add_outer(dWx, x, da)
        add_outer(dWh, h_prev, da)
        add_sum(db, da)
'''

LEAKY = '''
import numba
import nbrnn
from nbrnn.cells import pick, real


@numba.njit
def rectified(a):
    return pick(real(a) > 0, a, 0 * a)


class Leaky(nbrnn.Cell):
    """h = leak^order h_prev + relu(x W), with arrays that the steps make, and slices of columns."""

    params = "W[D,H]=he_normal"
    tape = "a[B,H] total[B]"
    numbers = "leak:float=0.5 order:int=2"

    @staticmethod
    def forward(x, h_prev, leak, W, order, h, a, total):
        for k in range(h.shape[0]):
            total[k] = 0
            for j in range(h.shape[1]):
                sum_ = 0 * x[k, 0]
                for d in range(x.shape[1]):
                    sum_ += x[k, d] * W[d, j]
                a[k, j] = sum_
                h[k, j] = leak**order * h_prev[k, j] + rectified(sum_)
                total[k] += h[k, j]

    @staticmethod
    def backward(x, W, a, leak, order, dh, dx, dh_prev, dW):
        da = dh * (a > 0)
        for k in range(dx.shape[0]):
            dh_prev[k] = dh[k]
            for j in range(dh.shape[1]):
                dh_prev[k, j] *= leak**order
            for d in range(dx.shape[1]):
                dx[k, d] = (da[k] * W[d]).sum()
                for j in range(dh.shape[1]):
                    dW[d, j] += x[k, d] * da[k, j]
'''

TEXTS = {"MinGRU": MIN_GRU, "OwnLSTM": OWN_LSTM, "Leaky": LEAKY}
FOLDER = tempfile.TemporaryDirectory()


@functools.cache
def own_cell(name):
    """Return a custom cell by its name: one for all tests, so that its code is compiled once."""
    return getattr(written(Path(FOLDER.name), name.lower(), TEXTS[name]), name)


def forget(monkeypatch, name):
    """Take a custom cell away until a test ends, so that the test may define it anew, in a module of its name."""
    cell = own_cell(name)
    monkeypatch.delitem(sys.modules, cell.__module__)
    monkeypatch.delitem(LAYERS, name)
    for way in ("forward", "backward"):
        monkeypatch.delitem(KERNELS, f"{cell.kind}_{way}")


def written(folder, name, text):
    """Write a module and return it, imported; a second one of its name replaces the first."""
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changed(text, *edits):
    """Return a module's text with pieces exchanged, each of which stands there."""
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text
