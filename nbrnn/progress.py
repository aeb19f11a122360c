"""Progress of a fit: a live line in a terminal or a notebook, a line now and then in a log file."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

LOG = 3.0  # seconds between the lines of epochs in a log file


def duration(seconds: float) -> str:
    """Return a time span as people write it: 0.4 s, 12 s, 3 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def figures_text(figures: dict[str, float]) -> str:
    """Return 'loss 0.0123  val_loss 0.0145'."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


class Progress:
    """Show how far a fit is: a live line in a terminal or a notebook, lines now and then in a log file.

    Parameters
    ----------
    epochs, batches : int
        Epochs of the fit and batches of an epoch.
    verbose : int
        0 shows nothing, 1 a live line (in a log file: a line every 3 seconds at most), 2 a line an epoch.
    first : int, default 0
        The epoch that the fit begins with.
    stream : text stream, optional
        Standard output where it is not given.
    """

    def __init__(self, epochs: int, batches: int, verbose: int, first: int = 0, stream: TextIO | None = None) -> None:
        self.epochs, self.batches, self.verbose, self.first = epochs, batches, verbose, first
        self.stream = stream or sys.stdout
        notebook = type(self.stream).__module__.startswith("ipykernel")  # it takes \r, but is no terminal
        self.live = verbose == 1 and (notebook or self.stream.isatty())
        # A notebook keeps what it is sent; a log file grows.
        self.pause, self.columns = (0.5, 79) if notebook else (0.08, 79) if self.live else (30.0, 79)
        self.started = self.shown = time.perf_counter()
        self.drawn = self.begun = 0

    def begin(self, done: int) -> None:
        """Say that so many batches were done before: they tell nothing of the pace."""
        self.begun = done

    def wants(self) -> bool:
        """Return whether it is time to show something within an epoch."""
        return self.verbose == 1 and time.perf_counter() - self.shown >= self.pause

    def update(self, epoch: int, batch: int, figures: dict[str, float]) -> None:
        """Say that so many batches of an epoch (counted from 0) are done."""
        if not self.wants():
            return
        now = self.shown = time.perf_counter()
        done = (epoch - self.first) * self.batches + batch
        total = (self.epochs - self.first) * self.batches
        spent, fresh = max(now - self.started, 1e-9), done - self.begun
        head = f"epoch {min(epoch + 1, self.epochs)}/{self.epochs}"
        tail = []
        if fresh > 0:
            left = duration(spent / fresh * (total - done)) if fresh > 0.02 * (total - self.begun) else "..."
            tail = [f"{_rate(fresh / spent)} batches/s", f"{left} left"]
        if self.live:
            self._draw(done / total, head, figures, tail)
        else:
            self._line("  ".join([head, f"batch {batch}/{self.batches}", figures_text(figures), *tail]))

    def epoch_end(self, epoch: int, figures: dict[str, float], last: bool) -> None:
        """Say that an epoch (counted from 0) is done, with its figures, and whether it is the last."""
        if self.live:
            if last:
                spent = duration(time.perf_counter() - self.started)
                self._draw(
                    (epoch + 1 - self.first) / (self.epochs - self.first),
                    f"epoch {epoch + 1}/{self.epochs}",
                    figures,
                    [spent],
                )
                self._end()
            elif self.wants():
                self.update(epoch + 1, 0, figures)
            return
        now = time.perf_counter()
        if self.verbose == 2 or (self.verbose == 1 and (last or now - self.shown >= LOG)):
            self.shown = now
            self._line(f"epoch {epoch + 1}/{self.epochs}  {figures_text(figures)}")

    def say(self, text: str) -> None:
        """Print a line of its own, above the live line."""
        if self.drawn:
            self.stream.write("\r" + " " * self.drawn + "\r")
            self.drawn = 0
        self._line(text)

    def stop(self) -> None:
        """End the live line, if it has not come to its end."""
        if self.drawn:
            self._end()

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()

    def _end(self) -> None:
        self.drawn = 0
        self._line("")

    def _draw(self, share: float, head: str, figures: dict[str, float], tail: list[str]) -> None:
        """Draw the bar and the text on one line, at most 79 columns or the terminal's less one; figures give way."""
        width = live_width(self.columns)
        shown = [f"{name} {value:.4g}" for name, value in figures.items()]
        while len(text := "  ".join([head, *shown, *tail])) > width and (shown or len(tail) > 1):
            if len(shown) > 1 or len(tail) < 2:
                shown.pop()
            else:
                tail = tail[1:]
        size = max(0, min(24, width - len(text) - 1))
        bar = ("#" * round(share * size)).ljust(size, ".") + " " if size >= 8 else ""
        line = (bar + text)[:width]
        self.stream.write("\r" + line.ljust(min(self.drawn, width)))
        self.stream.flush()
        self.drawn = len(line)


def live_width(most: int) -> int:
    """Return how many columns a live line may have: one less than the terminal, where a longer one would begin anew."""
    return max(1, min(most, shutil.get_terminal_size().columns - 1))


def _rate(number: float) -> str:
    """Return a rate in few letters: 0.52, 34, 5.1k."""
    if number >= 1000:
        return f"{number / 1000:.3g}k" if number < 1e6 else f"{number / 1e6:.3g}M"
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"
