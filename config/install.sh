#!/bin/sh
# Set the project up in .venv: system packages (as root on Debian), then the pinned Python ones.
# Usage: sh config/install.sh [dev]     "dev" adds what tests and checks need. Safe to run again.
# PYTHON=… names the Python that .venv is made of.
set -eu
cd "$(dirname "$0")/.."
extra=${1:-}

say() { printf 'install: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }

is_right() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# Debian's own Python rather than one that was compiled beside it: those are often a third slower.
python=${PYTHON:-/usr/bin/python3}
if [ -z "${PYTHON:-}" ] && ! { is_right $python && { has_venv $python || [ "$(id -u)" = 0 ]; }; }; then
    python=python3
fi
command -v "$python" >/dev/null || fail "$python is missing; it is the one thing to install by hand."
is_right "$python" || fail "Python 3.11, 3.12 or 3.13 is needed; $python is $("$python" -V 2>&1)."

# What the machine lacks. venv makes the environment; pango and harfbuzz typeset the PDFs.
PATH=$PATH:/sbin:/usr/sbin
missing=
has_venv "$python" || missing="$missing python3-venv"
has_library libpangoft2-1.0.so.0 || missing="$missing libpangoft2-1.0-0"
has_library libharfbuzz-subset.so.0 || missing="$missing libharfbuzz-subset0"
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "apt-get install$missing"
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086
        { apt-get -qq update && apt-get -qq install --no-install-recommends -y $missing; } >/dev/null ||
            fail "apt-get could not install$missing; its own words are above."
    else
        say "Ask an administrator for: apt-get install$missing"
        case $missing in *python3-venv*) fail "Nothing can be set up without python3-venv." ;; esac
        say "Going on without; only PDFs need them."
    fi
fi

.venv/bin/python -c '' 2>/dev/null || { rm -rf .venv; "$python" -m venv .venv; }
wanted=$(cat pyproject.toml config/constraints.txt | sha256sum | cut -c1-64)
if [ "$(cat .venv/installed-for 2>/dev/null)" = "$wanted $extra" ] ||
    [ "$(cat .venv/installed-for 2>/dev/null)" = "$wanted dev" ]; then
    exit 0
fi
say "installing the Python packages into .venv, about a minute the first time"
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint config/constraints.txt --editable ".${extra:+[$extra]}" ||
    fail "pip could not install the packages; its own words are above. Is there a network?"
echo "$wanted $extra" >.venv/installed-for
