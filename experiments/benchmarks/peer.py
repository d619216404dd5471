"""Another library, in a process of its own, which does one thing on request and tells the seconds."""

import subprocess
import sys
from pathlib import Path


class Peer:
    """A running program: it prints a line when it is ready, then for each line that comes in the seconds of one call.

    Args:
        python: the Python of its environment.
        program: the file that it runs.
        arguments: of the program.
        needs: what the environment must have, told where the program stops.
    """

    def __init__(self, python: str, program: Path, *arguments: object, needs: str):
        self._needs = needs
        line = [python, str(program), *map(str, arguments)]
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()

    def run(self) -> float:
        """The seconds of one call."""
        assert self._process.stdin is not None
        print("run", file=self._process.stdin, flush=True)
        return float(self._read())

    def close(self) -> None:
        """End the program."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            self.close()
            sys.exit(f"error: the peer stopped; its message is above. Has its environment {self._needs}?")
        return line
