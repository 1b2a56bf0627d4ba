#!/bin/sh
# Print the path of a Python that perpguard runs on, or say what to install.
# Looks at $PYTHON first, then at the usual names, tested versions first.
set -eu

usable() {
  command -v "$1" >/dev/null 2>&1 &&
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3 python; do
  [ -n "$candidate" ] || continue
  if usable "$candidate"; then
    if ! "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      echo "perpguard: $candidate cannot make virtual environments." \
        "On Debian or Ubuntu: apt-get install python3-venv" >&2
      exit 1
    fi
    command -v "$candidate"
    exit 0
  fi
  if [ "$candidate" = "${PYTHON:-}" ]; then
    echo "perpguard: PYTHON=$PYTHON is not a Python of version 3.11 or later" >&2
    exit 1
  fi
done

echo "perpguard needs Python 3.11 or later and found none on PATH." \
  "Install it, or name one: make PYTHON=/path/to/python3.12" >&2
exit 1
