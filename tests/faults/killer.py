"""Run the command and kill its process with SIGKILL at one chosen instant of a publish.

`python killer.py COUNT_FILE - ARGUMENTS` counts the instants, `python killer.py COUNT_FILE N ARGUMENTS` dies at the
N-th. Instants are the calls and returns of every function of the adapters and of the manifest while a step is decided
and published, or recovered, and of every call they make to the operating system, DuckDB and deltalake: between and
inside all their file operations, SQL statements and Delta commits.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

WATCHED = (f"{os.sep}flowpipe{os.sep}adapters{os.sep}", f"{os.sep}flowpipe{os.sep}intents.py")
NATIVE = {"posix", "_io", "_duckdb", "deltalake"}


class Killer:
    """A profile function that counts instants, and kills at the chosen one."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.instants = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if not any(part in code.co_filename for part in WATCHED):
            return
        if event.startswith("c_"):
            owner = argument.__module__ or type(argument.__self__).__module__
            if owner.partition(".")[0] not in NATIVE:
                return
        elif code.co_name.startswith("<"):
            return
        self.instants += 1
        if self.instants == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    from flowpipe.cli import run_command
    from flowpipe.publishing import Publisher

    count, at, *arguments = sys.argv[1:]
    killer = Killer(None if at == "-" else int(at))

    def watched(verb: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            sys.setprofile(killer)
            try:
                return verb(*given)
            finally:
                sys.setprofile(None)

        return run

    for verb in ("decide", "publish", "recover"):
        setattr(Publisher, verb, watched(getattr(Publisher, verb)))
    code = run_command(arguments, debug=False)
    Path(count).write_text(str(killer.instants))
    sys.exit(code)


if __name__ == "__main__":
    main()
