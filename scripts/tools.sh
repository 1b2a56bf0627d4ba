#!/bin/sh
# System programs that tests need: found, or installed with apt where we are root, or unpacked without
# root into .tools/. What cannot be had is said, the tests that need it skip loudly, and .ci/run fails.
# Always exits 0: a newcomer without apt still gets every other test.
set -u
cd "$(dirname "$0")/.."

say() { echo "perpguard: $*"; }

# Where tests look (tests/support/brokers.py).
find_program() {
  PATH="$PATH:/usr/sbin:/usr/local/sbin:.tools/usr/bin:.tools/usr/sbin" command -v "$1" 2>/dev/null
}

install_as_root() {
  say "installing $1 with apt-get"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update && apt-get -qq install --yes --no-install-recommends "$1"
}

# apt resolves what this machine lacks and downloads it, with lists and archives of our own, so that
# neither root nor the system's package lists are needed; dpkg only unpacks.
unpack_without_root() {
  say "unpacking $1 into .tools"
  state=$(pwd)/.tools/apt
  mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/etc" || return 1
  # A file, not options: an option's value cannot hold a path with spaces everywhere.
  cat >"$state/apt.conf" <<CONF
Dir::State::Lists "$state/lists/";
Dir::Cache "$state/";
Dir::Cache::archives "$state/archives/";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "$state/";
Debug::NoLocking "true";
APT::Sandbox::User "";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
CONF
  APT_CONFIG="$state/apt.conf" && export APT_CONFIG
  apt-get -qq update &&
    apt-get -qq install --yes --no-install-recommends --download-only "$1" || return 1
  for package in "$state"/archives/*.deb; do
    dpkg -x "$package" .tools || return 1
  done
  unset APT_CONFIG
  rm -rf "$state"
}

need() {
  program=$1 package=$2
  find_program "$program" >/dev/null && return
  if ! command -v apt-get >/dev/null 2>&1; then
    say "install $package with your package manager (macOS: brew install $package)"
  elif [ "$(id -u)" = 0 ]; then
    # A root without the right to install (a locked-down container) still gets the second way.
    install_as_root "$package" || unpack_without_root "$package"
  else
    unpack_without_root "$package"
  fi
  found=$(find_program "$program") && say "$program is at $found" ||
    say "MISSING PROGRAM: $program. The tests that need it will be skipped."
}

need mosquitto mosquitto
need openssl openssl
# Here also Chromium, once there are tests in a browser:  need chromium chromium
