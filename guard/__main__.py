"""``python -m guard`` is ``perpguard``."""

from guard.cli import main

if __name__ == "__main__":
    main()
