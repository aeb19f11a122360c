"""The trainings of a sweep on a Dask cluster, where there is one: its scheduler hands them out again if a worker dies.

Dask is wanted here only (the extra "dask").
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import __version__
from .recipes import Recipe
from .targets import cpu
from .trials import Judge, Trial

PATIENCE = 5.0  # seconds in which a scheduler must answer
ANSWER = 60.0  # seconds in which a worker must have loaded nbrnn
INSTALL = 'pip install "nbrnn[dask]"'


def on_cluster(address: str, judge: Judge, recipes: Sequence[Recipe]) -> Generator[Trial]:
    """Yield trials as a cluster's workers finish them.

    Parameters
    ----------
    address : str
        The scheduler's, such as tcp://localhost:8786.
    judge : Judge
    recipes : sequence of Recipe

    Raises
    ------
    ValueError
        If Dask is not installed, the scheduler does not answer within seconds or goes away, has no workers, or these
        have another nbrnn or none.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ValueError(f"scheduler {address} needs Dask, which is not installed; type: {INSTALL}") from error
    with _quiet(), contextlib.closing(_connected(distributed, address)) as client:
        try:
            _same_version(client, address)
            # A task of its own, not a copy for each training: if its worker dies, the scheduler has it made again.
            held = client.submit(_keep, judge, pure=False)
            made = client.map(_trained, recipes, judge=held, pure=False)
            futures = dict(zip(made, recipes, strict=True))
            del made
            for future in distributed.as_completed(list(futures), loop=client.loop):
                if future.status == "cancelled":
                    raise ValueError(f"the scheduler at {address} is gone; the same sweep goes on from what ended.")
                yield _trial(future, futures.pop(future))
        except OSError as error:
            raise ValueError(f"the scheduler at {address} does not answer any more ({error}).") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask logs of a connection that broke out of the way: one sentence tells what matters."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _connected(distributed: Any, address: str) -> Any:
    """Return a client; ValueError if no scheduler answers, or it has no workers."""
    workers = None
    # A TimeoutError is an OSError; a thread, since a notebook has a loop of its own.
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError), ThreadPoolExecutor(1) as thread:
        workers = thread.submit(asyncio.run, _workers(distributed, address)).result()
    if workers is None:
        raise ValueError(
            f"no Dask scheduler answers at {address} within {PATIENCE:g} s; start one with 'dask scheduler', and "
            "name its address, such as tcp://localhost:8786."
        )
    if not workers:
        raise ValueError(f"the scheduler at {address} has no workers; start some with 'dask worker {address}'.")
    return distributed.Client(address, timeout=PATIENCE, set_as_default=False)


async def _workers(distributed: Any, address: str) -> int:
    """Ask a scheduler how many workers it has: a client would wait for ever at a port where something else listens."""

    async def ask() -> int:
        security = distributed.Security().get_connection_args("client")
        comm = await distributed.comm.connect(address, timeout=PATIENCE, **security)
        try:
            await comm.write({"op": "identity", "reply": True})
            return len((await comm.read())["workers"])
        finally:
            comm.abort()

    return await asyncio.wait_for(ask(), PATIENCE)


def _same_version(client: Any, address: str) -> None:
    """Raise ValueError unless a worker has this nbrnn."""
    try:
        found = client.submit(_version, pure=False).result(timeout=ANSWER)
    except Exception as error:
        raise ValueError(
            f"the workers of {address} cannot run nbrnn ({type(error).__name__}: {error}); install it for their Python."
        ) from error
    if found != __version__:
        raise ValueError(f"the workers of {address} have nbrnn {found}, not {__version__}; install the same one.")


def _trial(future: Any, recipe: Recipe) -> Trial:
    """Return what came of a future; what its worker did not survive is a failure of the machine."""
    error = future.exception()
    if error is None:
        return future.result()
    told = " ".join(f"{type(error).__name__}: {error}".split())
    return Trial(recipe, float("nan"), 0, 0, 0.0, told, lost=True)


# ------------------------------------------------------------------ on the workers


def _version() -> str:
    return __version__


def _keep(judge: Judge) -> Judge:
    return judge


def _trained(recipe: Recipe, judge: Judge) -> Trial:
    cpu.set_num_threads(1)  # a worker has as many threads as its cores already
    return judge(recipe)
