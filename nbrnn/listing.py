"""A program as text: a row a call, with its path, and what it reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .memory import in_words
from .paths import paths, tile

if TYPE_CHECKING:
    from .program import Call, Program


def path_text(call: Call, program: Program) -> str:
    """Return the paths of a call as one text, empty for one without products of matrices."""
    if program.path_of is not None:
        return program.path_of(call)
    return " + ".join(paths(call, program.dtype))


def program_text(program: Program) -> str:
    """Return a program's table in 80 columns, and what a whole batch needs where a plan has told the program.

    Parameters
    ----------
    program : Program
    """
    samples = f", {program.samples} samples" if program.samples > 1 else ""
    prepare = program.prepare.calls if program.prepare else []
    number = max(2, len(str(len(prepare) + len(program.calls))))
    head = f"{'#':>{number}}  {'call':<22}{'path':<30}{'FLOPs':>12}{'bytes':>12}"
    lines = [f"{program.title}, {program.dtype.name}{samples}", where(program), head]
    if prepare:
        lines.append(f"{prepare_when(program)}:")
        lines += _rows(program, prepare, 0, number)
        lines.append("each shard:")
    lines += _rows(program, program.calls, len(prepare), number)
    lines.append(f"{'':>{number}}  {'total':<52}{sum(call.flops for call in program.calls):>12,}")
    blocks = _wrapped("blocks:", [f"{name} {size:,} bytes," for name, size in program.nbytes.items()], 79)
    lines += [*blocks[:-1], blocks[-1].rstrip(",")]
    memory = program.memory
    if memory is not None:
        copies = [part.copies for part in memory.parts]
        shards = f" ({max(copies)} shards)" if max(copies) > 1 else ""
        lines.append(f"a whole batch{shards} needs {memory.total:,} bytes, {in_words(memory.total)}")
    return "\n".join(lines)


def where(program: Program) -> str:
    """Return what runs the program: the CPU's register tile, or the GPU."""
    return tile(program.dtype) if program.path_of is None else "on the GPU; recurrent calls name their design"


def prepare_when(program: Program) -> str:
    """Return when a program's `prepare` runs: weights change with every batch of a training, else never."""
    return "before each batch" if program.every_batch else "before all batches"


def _rows(program: Program, calls: Sequence[Call], first: int, number: int) -> list[str]:
    """Return the lines of some calls."""
    lines = []
    for k, call in enumerate(calls, first):
        sides = [("reads ", list(call.buffers(False))), ("writes", list(call.buffers(True)))]
        moved = sum(program.bytes_of(buffer) for _, buffers in sides for buffer in buffers)
        path, _, more = path_text(call, program).partition(": ")
        lines.append(f"{k:>{number}}  {call.kernel:<22}{path:<30}{call.flops:>12,}{moved:>12,}")
        lines += _wrapped("    design", more.split(), 78)
        for label, buffers in sides:
            lines += _wrapped(f"    {label}", [str(buffer) for buffer in buffers], 78)
    return lines


def _wrapped(head: str, words: list[str], width: int) -> list[str]:
    """Break words into lines that all begin in one column."""
    lines, line = [], head
    for word in words:
        if len(line) + 1 + len(word) > width and line.strip() and line != head:
            lines.append(line)
            line = " " * len(head)
        line += " " + word
    return [*lines, line] if words else []
