#!/usr/bin/env bash
# Makes sure that there is a uv, which installs everything else: the one on PATH, else a private one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The Makefile adds .cache/bin to the end of PATH, so a private uv is found here too.
if command -v uv >/dev/null; then
  exit 0
fi

# A pyenv shim may be on PATH and still start nothing, hence the try.
python=
for candidate in python3 python3.13 python3.12 python3.11; do
  if "$candidate" -c '' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "dayfly needs Python 3.11 or newer, and there is no python3 on PATH." >&2
  exit 1
fi

echo "There is no uv on PATH: installing one into .cache/uv" >&2
rm -rf .cache/uv .cache/bin
if ! "$python" -m venv .cache/uv >/dev/null 2>&1; then
  # Debian keeps the part of venv that brings pip in a package of its own.
  scripts/apt-install.sh python3-venv
  "$python" -m venv --clear .cache/uv
fi
.cache/uv/bin/python -m pip install --quiet 'uv>=0.9'

# Only uv goes on PATH, not the Python that it was installed with.
mkdir .cache/bin
ln -s ../uv/bin/uv .cache/bin/uv
