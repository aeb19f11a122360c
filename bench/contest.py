"""A contestant in a process of its own, pinned to one core unless it may use more."""

import json
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


class Contestant:
    """A process that runs a piece of work whenever it is asked; its time is multiplied where it runs a part of it."""

    def __init__(self, name: str, work: list[str], python: str, cores: int, part: float = 1.0) -> None:
        self.name, self.part = name, part
        environment = dict(os.environ, PYTHONPATH=str(HERE.parent))
        if cores == 1:
            environment |= {"OMP_NUM_THREADS": "1", "NBRNN_NUM_THREADS": "1", "XLA_FLAGS": ONE_THREAD}
        command = [python, str(HERE / "contestants.py"), name, *work]
        if cores == 1 and shutil.which("taskset"):
            command = ["taskset", "-c", "0", *command]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if name == "keras" else None,
            text=True,
            env=environment,
        )
        self.first = self._answer()
        self.seconds: list[float] = []

    def _answer(self) -> float:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} stopped; is it installed for its interpreter?")
        return float(json.loads(line)) * self.part

    def run(self) -> None:
        """Run the work once and keep its time."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        self.seconds.append(self._answer())
