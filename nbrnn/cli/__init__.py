"""The command line: options, what a person reads, files. The work is done by the modules that the commands import.

Nothing but click and the standard library is imported before a command runs, so that `nbrnn --help` answers at once.
"""

from __future__ import annotations

from typing import Any

import click

from .. import __version__
from .bench import bench
from .common import STOPPED
from .evaluate import evaluate
from .explore import explore
from .forecast import forecast
from .gradcheck import gradcheck
from .show import data, info
from .sweep import sweep
from .trace import trace
from .train import train
from .tutorial import tutorial


class Commands(click.Group):
    """The group of all commands; Ctrl-C ends any of them with exit code 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            ctx.exit(STOPPED)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Begin with:  nbrnn train sunspots",
)
@click.version_option(__version__, prog_name="nbrnn")
def main() -> None:
    """Learn, run and measure recurrent neural networks."""


for command in (train, sweep, forecast, evaluate, gradcheck, data, info, trace, explore, tutorial, bench):
    main.add_command(command)
