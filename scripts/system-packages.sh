#!/usr/bin/env bash
# Brings what the tests need and PyPI does not have. Does nothing when all of it is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Browser tests: the pages of a run in a real browser, with a font to draw their text.
if ! command -v chromium >/dev/null; then
  scripts/apt-install.sh chromium fonts-liberation
fi
