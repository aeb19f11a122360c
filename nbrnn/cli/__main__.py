"""Run the command line as `python -m nbrnn.cli`."""

from . import main

main()
