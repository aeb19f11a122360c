"""Progress of a fit: a live line in a terminal, a line now and then in a log file."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO


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
    """Show how far a fit is.

    Parameters
    ----------
    epochs, batches : int
        Epochs of the fit and batches of an epoch.
    verbose : int
        0 shows nothing, 1 a live line (in a log file: a line every second at most), 2 a line an epoch.
    stream : text stream, optional
        Standard output where it is not given.
    """

    def __init__(self, epochs: int, batches: int, verbose: int, stream: TextIO | None = None) -> None:
        self.epochs, self.batches, self.verbose = epochs, batches, verbose
        self.stream = stream or sys.stdout
        self.live = verbose == 1 and self.stream.isatty()
        self.started = self.shown = time.perf_counter()
        self.drawn = 0

    def update(self, epoch: int, batch: int, figures: dict[str, float]) -> None:
        """Say that so many batches of an epoch (counted from 0) are done."""
        now = time.perf_counter()
        if not self.live or now - self.shown < 0.08:
            return
        self.shown = now
        share = (epoch + batch / self.batches) / self.epochs
        left = duration((now - self.started) * (1 - share) / share) if share > 0.02 else "..."
        self._draw(share, f"epoch {min(epoch + 1, self.epochs)}/{self.epochs}  {figures_text(figures)}  {left} left")

    def epoch_end(self, epoch: int, figures: dict[str, float]) -> None:
        """Say that an epoch (counted from 0) is done, with its figures."""
        last = epoch + 1 == self.epochs
        if self.live:
            if last:
                spent = duration(time.perf_counter() - self.started)
                self._draw(1.0, f"epoch {epoch + 1}/{self.epochs}  {figures_text(figures)}  {spent}")
                self.stream.write("\n")
            else:
                self.update(epoch + 1, 0, figures)
            return
        now = time.perf_counter()
        if self.verbose == 2 or (self.verbose == 1 and (last or now - self.shown >= 1)):
            self.shown = now
            self.stream.write(f"epoch {epoch + 1}/{self.epochs}  {figures_text(figures)}\n")
            self.stream.flush()

    def stop(self) -> None:
        """End the live line before its time."""
        if self.live and self.drawn:
            self.stream.write("\n")
            self.stream.flush()

    def _draw(self, share: float, text: str) -> None:
        """Draw the bar and the text on one line, never wider than the terminal."""
        width = shutil.get_terminal_size().columns - 1
        size = max(0, min(24, width - len(text) - 1))
        bar = ("#" * round(share * size)).ljust(size, ".") + " " if size >= 8 else ""
        line = (bar + text)[:width]
        self.stream.write("\r" + line.ljust(min(self.drawn, width)))
        self.stream.flush()
        self.drawn = len(line)
