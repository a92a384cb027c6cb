#!/bin/sh
# Makes the two virtual environments of a checkout, each once per state of what it is made from.
#
#   deploy/setup.sh core   .venv      the product alone, as an operator installs it
#   deploy/setup.sh dev    .venv-dev  the pinned tools of requirements-dev.txt and the product
#
# It does NOT touch the system, but for a few packages that only tests need, and those only as
# root. Everything else is said, not done.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# (1) A Python that starts and is new enough: a shim on PATH may be there and not work.
find_python() {
  for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3 python; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then command -v "$name"; return 0; fi
  done
  say "Concura needs Python 3.11 or newer with its venv module, and none was found."
  say "Install one (Debian, Ubuntu: apt-get install python3-venv), or name one: make demo PYTHON=/path/to/python3.12"
  return 1
}

# (2) The stamp names everything an environment depends on; the path, because scripts hold it.
stamp_of() {
  { pwd; "$python" -VV; cat "$@"; } | cksum
}

make_core() {
  python="$(find_python)"
  stamp="$(stamp_of pyproject.toml)"
  [ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ] && return 0
  say "Setting up .venv with $("$python" -V) (once; under a minute) ..."
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable . || {
    say "The packages could not be installed. Check the connection to the package index and run the command again."
    return 1
  }
  printf '%s\n' "$stamp" > .venv/stamp
}

make_dev() {
  python="$(find_python)"
  stamp="$(stamp_of pyproject.toml requirements-dev.txt)"
  if [ "$(cat .venv-dev/stamp 2>/dev/null)" != "$stamp" ]; then
    say "Setting up .venv-dev with $("$python" -V) (once; about a minute) ..."
    rm -rf .venv-dev
    "$python" -m venv .venv-dev
    # uv itself comes by its pinned hash like everything else.
    awk '/^uv==/ { on = 1; print; next } on && /^ / { print; next } { on = 0 }' \
      requirements-dev.txt > .venv-dev/uv.txt
    .venv-dev/bin/python -m pip install --quiet --disable-pip-version-check \
      --require-hashes --requirement .venv-dev/uv.txt
    VIRTUAL_ENV="$PWD/.venv-dev" .venv-dev/bin/uv pip install --quiet \
      --require-hashes --requirement requirements-dev.txt
    VIRTUAL_ENV="$PWD/.venv-dev" .venv-dev/bin/uv pip install --quiet --no-deps --editable .
    printf '%s\n' "$stamp" > .venv-dev/stamp
  fi
  make_system
}

# (3) The parts that no package index has: a browser and Chinese letters for the pictures' tests, a
# token in software for the key stores' tests.
has_browser() {
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && return 0
  done
  return 1
}
has_letters() { command -v fc-list >/dev/null 2>&1 && [ -n "$(fc-list :lang=zh-cn file 2>/dev/null)" ]; }

has_token() { command -v softhsm2-util >/dev/null 2>&1; }

make_system() {
  missing=""
  has_browser || missing="$missing chromium"
  has_letters || missing="$missing fonts-noto-cjk fontconfig"
  has_token || missing="$missing softhsm2"
  command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
  [ -z "$missing" ] && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "Installing$missing ..."
    # shellcheck disable=SC2086  # a list of names
    if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
         apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1
    then return 0; fi
  fi
  say "Not here:$missing. Tests that need them are skipped (install: apt-get install$missing)."
}

case "${1:-}" in
  core) make_core ;;
  dev) make_dev ;;
  *) say "usage: deploy/setup.sh core|dev"; exit 2 ;;
esac
