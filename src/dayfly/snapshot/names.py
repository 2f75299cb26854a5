"""Files that are secrets by their names, and the user's word that one may go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

Allowed = Callable[[str], bool]
"""Whether the user allows a file of the repository, by its path, to be carried whatever it looks like."""

_SECRET_FILES = (
    *(".env", ".env.*", "*.env"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.kdbx"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"),
    *(".netrc", "_netrc", ".pypirc", ".pgpass", ".htpasswd", ".git-credentials", ".databrickscfg", ".boto"),
    *("credentials.json", "client_secret*.json", "application_default_credentials.json", "kaggle.json"),
)
_HARMLESS_FILES = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")
_SECRET_PATHS = (
    (".aws", "*"),
    (".ssh", "*"),
    (".gnupg", "*"),
    (".docker", "config.json"),
    (".kube", "config"),
)


def is_secret_name(path: str) -> bool:
    """Whether a file with this path (posix, relative) is usually a secret, such as `.env` and `id_rsa`."""
    *folders, name = path.casefold().split("/")
    for folder, inside in _SECRET_PATHS:
        if folder in folders and fnmatchcase(name, inside):
            return True
    if any(fnmatchcase(name, pattern) for pattern in _HARMLESS_FILES):
        return False
    return any(fnmatchcase(name, pattern) for pattern in _SECRET_FILES)


def allow(patterns: Sequence[str]) -> Allowed:
    """The user's word as patterns, which mean what they mean in `.gitignore`."""
    if not patterns:
        return lambda _: False
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns).match_file
