"""The GPU: whether there is one, what it is, and what is said where there is none."""

from dataclasses import dataclass

from numba import config, cuda


@dataclass(frozen=True)
class Chip:
    """What a choice among designs needs to know of a GPU."""

    name: str
    capability: tuple[int, int]
    processors: int  # streaming multiprocessors
    shared: int  # bytes of shared memory that one block may have
    registers: int  # 32-bit ones of a processor
    memory: int  # bytes


CHIPS = {  # for what is compiled, or shown, without a GPU; from NVIDIA's tuning guides and data sheets
    "A100": Chip("NVIDIA A100", (8, 0), 108, 163 * 1024, 65536, 40 * 2**30),
    "H200": Chip("NVIDIA H200", (9, 0), 132, 227 * 1024, 65536, 141 * 10**9),
    "B200": Chip("NVIDIA B200", (10, 0), 148, 227 * 1024, 65536, 180 * 10**9),
}


def require_device() -> None:
    """Raise ValueError unless there is a GPU, or the simulator is on."""
    if bool(config.ENABLE_CUDASIM) != bool(config.DISABLE_JIT):
        raise ValueError(
            "the CUDA target needs NUMBA_ENABLE_CUDASIM=1 and NUMBA_DISABLE_JIT=1 together (Numba's simulator) or "
            "neither of them (a GPU)."
        )
    if not cuda.is_available():
        raise ValueError(
            "Numba finds no CUDA GPU with its driver and toolkit; to run in Numba's simulator instead, type "
            "NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 before the command."
        )
