"""``perpguard`` and ``python -m guard``."""

import sys

from guard.stopping import end_at_once_if_asked


def main() -> None:
    """Run the command line. The daemon can be stopped from its first moment on."""
    if sys.argv[1:2] == ["run"]:
        end_at_once_if_asked()
    from guard.cli import main as run_command  # noqa: PLC0415 (takes some tenths of a second)

    run_command()


if __name__ == "__main__":
    main()
