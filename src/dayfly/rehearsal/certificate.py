"""The certificate of one emulator, and the bundle that makes tools trust it.

AWS answers over TLS only, and a bucket's policy may insist on it; so must the emulator.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dayfly.errors import MissingExtraError

_DAYS = "30"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Files in PEM. `bundle` holds this certificate and the system's, for `AWS_CA_BUNDLE`."""

    certificate: Path
    key: Path
    bundle: Path


def make_certificate(folder: Path, *, names: Sequence[str] = ("localhost",)) -> Certificate:
    """A new self-signed certificate for these names and 127.0.0.1, of use for 30 days.

    Its key is for the owner only. It is no CA: rustls refuses a CA's certificate as a server's.

    Raises MissingExtraError without the openssl command.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Certificate(
        certificate=folder / "server.crt", key=folder / "server.key", bundle=folder / "ca-bundle.pem"
    )
    alternatives = ",".join([*(f"DNS:{name}" for name in names), "DNS:*.localhost", "IP:127.0.0.1"])
    # fmt: off
    argv = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", str(made.key), "-out", str(made.certificate),
        "-days", _DAYS, "-subj", "/CN=dayfly rehearsal",
        "-addext", "basicConstraints=critical,CA:FALSE",
        "-addext", "keyUsage=critical,digitalSignature",
        "-addext", "extendedKeyUsage=serverAuth",
        "-addext", f"subjectAltName={alternatives}",
    ]
    # fmt: on
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MissingExtraError(
            "The emulated AWS needs the openssl command, for its certificate.",
            hint="Install the system's package openssl.",
        ) from None
    if done.returncode != 0:
        raise MissingExtraError("openssl could not make a certificate.", why=done.stderr.strip()[-1000:])
    made.key.chmod(0o600)
    made.bundle.write_text(made.certificate.read_text() + _system_roots())
    return made


def _system_roots() -> str:
    paths = ssl.get_default_verify_paths()
    for name in (paths.cafile, paths.openssl_cafile):
        if name and Path(name).is_file():
            return Path(name).read_text()
    return ""
