"""How long the explorer's page takes to open and to move a step, in headless Chromium.

python tests/explorer_speed.py
"""

import statistics
import tempfile
from pathlib import Path

import numpy as np
from browsing import Browser
from support import random_model

import nbrnn
from nbrnn import GRU, LSTM, Dense, SimpleRNN

STEPS, UNITS, ROUNDS = 50, 8, 5
WALK = """
    const times = [];
    for (const direction of ['forward', 'backward']) {
      explorer.enter('sandbox');
      explorer.turn(direction);
      for (let k = 0; k < explorer.T; k++) {
        const t = direction === 'forward' ? k : explorer.T - 1 - k, start = performance.now();
        explorer.go(t);
        document.body.getBoundingClientRect();
        times.push(performance.now() - start);
      }
    }
    return times;
"""
OPENED = """
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    return paint && Math.max(paint.startTime, performance.getEntriesByType('navigation')[0].loadEventEnd);
"""


PARTS = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")


def processor_time(browser: Browser) -> float:
    """Return the milliseconds that the page's thread has computed so far."""
    metrics = browser.call("Performance.getMetrics")["metrics"]
    return sum(1000 * metric["value"] for metric in metrics if metric["name"] in PARTS)


def main() -> None:
    """Measure a page of each cell."""
    browser, rng = Browser(), np.random.default_rng(0)
    browser.call("Performance.enable", timeDomain="threadTicks")
    browser.size(1280, 900)
    for cell in (SimpleRNN, GRU, LSTM):
        model = random_model([cell(UNITS), Dense(1)], (STEPS, 1))
        model.compile(loss="mse")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.html"
            page = nbrnn.explore(model, rng.normal(size=(STEPS, 1)), 0.5, path=path)
            opened, steps, computed = [], [], []
            for _ in range(ROUNDS):
                browser.open(path)
                browser.wait("explorer.checked")
                opened.append(browser.run(OPENED))
                before = processor_time(browser)
                steps += browser.run(WALK)
                computed.append((processor_time(browser) - before) / (2 * STEPS))
        print(
            f"{cell.__name__:10} {len(page.encode()) / 1000:.0f} kB, painted and loaded after "
            f"{statistics.median(opened):.0f} ms (slowest of {ROUNDS}: {max(opened):.0f}), a step "
            f"{statistics.median(steps):.1f} ms (99 of 100 under {np.quantile(steps, 0.99):.1f}), "
            f"of processor time {statistics.median(computed):.1f}"
        )
    browser.close()


if __name__ == "__main__":
    main()
