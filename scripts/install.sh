#!/bin/sh
# Make .venv from nothing, or bring it up to date: scripts/install.sh run|dev
#   run  what the daemon and the demo need       (requirements.lock)
#   dev  that, and what check, test and bench need (requirements-dev.lock)
# Every package comes from a lock file with hashes; the two packages of this tree are installed
# editable, without looking for dependencies, so nothing unlocked gets in.
set -eu
cd "$(dirname "$0")/.."

what=${1:?run or dev}
case $what in
  run) lock=requirements.lock ;;
  dev) lock=requirements-dev.lock ;;
  *) echo "scripts/install.sh: run or dev, not $what" >&2; exit 2 ;;
esac

say() { echo "perpguard: $*"; }

if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
  python=$(sh scripts/python.sh)
  say "making .venv with $python"
  "$python" -m venv --clear .venv
fi

# Quiet, but errors are shown: pip's progress is kept and printed only if it fails.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    say "that failed: $*" >&2
    exit 1
  fi
}

say "installing the packages of $lock into .venv (about half a minute the first time)"
quietly .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r "$lock"
# Built anew or not at all: what an older source was compiled into must not stay and run.
find guard adapters policies -name '*.so' -delete
quietly .venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation \
  -e ./sdk -e .
.venv/bin/python -c '
from guard.market.implementation import TO_COMPILE, why_slow
if why_slow():
    print(f"perpguard: books are kept by the slow reference ({why_slow()}): {TO_COMPILE}")
'
say ".venv is ready"
