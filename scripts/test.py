"""Run tests: ``test.py [arguments for pytest]``; without arguments all of them, in two processes side by side.

One half waits for real programs, and then builds and reads the sources; the other computes. Side by side they take
about a quarter of an hour on two cores. Any argument makes it one plain pytest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTEST = (sys.executable, "-m", "pytest")
WAITING = ("tests/acceptance", "tests/contract", "tests/sdk", "tests/house")


def main() -> int:
    """Return the exit code of whichever half failed."""
    if sys.argv[1:]:
        return subprocess.call([*PYTEST, *sys.argv[1:]], cwd=ROOT)
    with tempfile.TemporaryFile("w+") as said:
        waiting = subprocess.Popen([*PYTEST, *WAITING], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        try:
            print(f"all but {', '.join(WAITING)}, which run beside it and are shown at the end:", flush=True)
            ignored = [f"--ignore={folder}" for folder in WAITING]
            code = subprocess.call([*PYTEST, *ignored], cwd=ROOT)
            other = waiting.wait()
        finally:
            waiting.terminate()  # a second Ctrl-C, or a failure of ours
            waiting.wait()
        said.seek(0)
        print(f"\n{', '.join(WAITING)}:\n{said.read()}", end="", flush=True)
    return code or other


if __name__ == "__main__":
    sys.exit(main())
