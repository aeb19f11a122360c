"""`python -m nbrnn` is `nbrnn`."""

from .cli import main

main(prog_name="nbrnn")
