"""PyTorch: nn.RNN, nn.LSTM, nn.GRU, time first and samples first; the faster counts."""

from typing import Any

import numpy as np
import torch
from cases import Case, Fit
from inputs import Form, Forms

LAYERS: dict[str, Any] = {"simple_rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
OPTIMIZERS: dict[str, Any] = {
    "adam": lambda p: torch.optim.Adam(p, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3, 0.9, foreach=True),
}
ORDERS = {"time first": False, "samples first": True}


def start(threads: int) -> dict[str, str]:
    torch.set_num_threads(threads)
    return {"torch": torch.__version__}


def layer(case: Case, a: dict[str, np.ndarray]) -> Forms:
    def make(batch_first: bool) -> Form:
        net = LAYERS[case.name](case.sizes.F, case.size, batch_first=batch_first, dtype=getattr(torch, case.dtype))
        x, y = (torch.from_numpy(a[k] if batch_first else a[k].swapaxes(0, 1).copy()) for k in ("x", "y"))

        def forward() -> None:
            with torch.inference_mode():
                net(x)

        def train() -> None:
            net.zero_grad(set_to_none=True)
            torch.nn.functional.mse_loss(net(x)[0], y).backward()

        return Form(forward if case.mode == "forward" else train)

    return {name: lambda first=first: make(first) for name, first in ORDERS.items()}


def fit(fit: Fit, x: np.ndarray, y: np.ndarray, device: str = "cpu") -> Forms:
    acts = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid}

    def make(batch_first: bool) -> Form:
        own = {"nonlinearity": fit.activation} if fit.cell == "simple_rnn" else {}
        recurrent = LAYERS[fit.cell](fit.features, fit.units, batch_first=batch_first, **own)
        head, below = torch.nn.Sequential(), fit.units
        for units, activation in fit.dense:
            head.append(torch.nn.Linear(below, units))
            if activation != "linear":
                head.append(acts[activation]())
            below = units
        recurrent, head = recurrent.to(device), head.to(device)
        optimizer = OPTIMIZERS[fit.optimizer]([*recurrent.parameters(), *head.parameters()])
        axis = 0 if batch_first else 1
        samples = torch.from_numpy(x if batch_first else x.swapaxes(0, 1).copy()).to(device)
        targets = torch.from_numpy(y).to(device)

        def run() -> None:
            for _ in range(fit.epochs):
                for chosen in torch.randperm(fit.samples, device=device).split(fit.batch):
                    optimizer.zero_grad(set_to_none=True)
                    states = recurrent(samples.index_select(axis, chosen))[0]
                    out = head(states.select(1 - axis, -1))
                    torch.nn.functional.mse_loss(out, targets[chosen]).backward()
                    optimizer.step()
            if device == "cuda":
                torch.cuda.synchronize()

        return Form(run)

    return {name: lambda first=first: make(first) for name, first in ORDERS.items()}


def stream(case: Case, a: dict[str, np.ndarray]) -> Forms:
    H, _, _, F = case.sizes
    row = torch.from_numpy(a["x"])

    def whole() -> Form:
        net, state = torch.nn.LSTM(F, H), None

        def run() -> None:
            nonlocal state
            with torch.inference_mode():
                state = net(row, state)[1]

        return Form(run)

    def cell() -> Form:
        net, state = torch.nn.LSTMCell(F, H), None

        def run() -> None:
            nonlocal state
            with torch.inference_mode():
                state = net(row[0], state)

        return Form(run)

    return {"nn.LSTM": whole, "nn.LSTMCell": cell}
