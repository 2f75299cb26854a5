#!/usr/bin/env bash
# Brings what the tests need and PyPI does not have. Does nothing when all of it is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Browser tests: the pages of a run in a real browser, with a font to draw their text.
if ! command -v chromium >/dev/null; then
  scripts/apt-install.sh chromium fonts-liberation
fi

# End-to-end tests: a terminal to watch the live view in, and a clock that can be made to jump.
if ! command -v tmux >/dev/null || ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then
  scripts/apt-install.sh tmux libfaketime
fi
