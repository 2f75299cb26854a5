#!/usr/bin/env bash
# Brings what the tests need and PyPI does not have. Does nothing when all of it is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Daemons lie where only root's PATH leads.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing() {
  for program in "$@"; do
    command -v "$program" >/dev/null || return 0
  done
  return 1
}

# Browser tests: the pages of a run in a real browser, with a font to draw their text.
if missing chromium; then
  scripts/apt-install.sh chromium fonts-liberation
fi

# End-to-end tests: a terminal to watch the live view in, and a clock that can be made to jump.
if missing tmux || ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then
  scripts/apt-install.sh tmux libfaketime
fi

# Tests of the boot script: a systemd that ends all that a service has started.
if missing pkill; then
  scripts/apt-install.sh procps
fi

# Cloud tests: a certificate for the emulated AWS, Git against its CodeCommit with the password that AWS's own
# command line makes, and what OpenSSH makes of our configuration.
if missing openssl git ssh ssh-keygen curl; then
  scripts/apt-install.sh openssl git openssh-client curl ca-certificates
fi
if missing aws; then
  scripts/apt-install.sh awscli
fi

# Engine tests: a Docker engine with its init and its network, a registry, and what makes a base image
# from Debian's packages alone, so that no image has to be fetched from anywhere.
if missing docker dockerd docker-init docker-registry debootstrap iptables ip; then
  scripts/apt-install.sh docker.io docker-registry debootstrap iptables iproute2 ca-certificates
fi
