#!/usr/bin/env bash
# apt-install.sh PACKAGE... : installs Debian packages as root; anyone else is told what to install.
set -euo pipefail

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "Missing on this system: $*" >&2
  if command -v apt-get >/dev/null; then
    echo "Install it with: sudo apt-get install $*" >&2
  else
    echo "These are Debian's package names; install what they are called on your system." >&2
  fi
  exit 1
fi

echo "Installing from Debian: $*" >&2
export DEBIAN_FRONTEND=noninteractive
# The lock is waited for: a second `make` may be doing the same.
options=(-q -o DPkg::Lock::Timeout=300)
apt-get "${options[@]}" update >&2
apt-get "${options[@]}" install --yes --no-install-recommends "$@" >&2
