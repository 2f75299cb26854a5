"""Files that are secrets by their names, and the user's word that one may go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Allowed = Callable[[str], bool]
"""Whether the user allows a file of the repository, by its path, to be carried whatever it looks like."""

_NAMES = {
    *(".env", ".netrc", "_netrc", ".pypirc", ".pgpass", ".htpasswd", ".git-credentials", ".databrickscfg"),
    *(".boto", "credentials.json", "application_default_credentials.json", "kaggle.json"),
}
_BEGINNINGS = (".env.", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "client_secret")
_ENDINGS = (".env", ".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".ppk", ".kdbx")
_HARMLESS_ENDINGS = (".example", ".sample", ".template", ".dist", ".pub", ".py", ".md")
_FOLDERS = ("/.aws/", "/.ssh/", "/.gnupg/")
_PATHS = ("/.docker/config.json", "/.kube/config")


def is_secret_name(path: str) -> bool:
    """Whether a file with this path (posix, relative) is usually a secret, such as `.env` and `id_rsa`."""
    path = f"/{path}".casefold()
    if "/." in path and (path.endswith(_PATHS) or any(folder in path for folder in _FOLDERS)):
        return True
    name = path[path.rindex("/") + 1 :]
    if name in _NAMES:
        return True
    return name.endswith(_ENDINGS) or (name.startswith(_BEGINNINGS) and not name.endswith(_HARMLESS_ENDINGS))


def allow(patterns: Sequence[str]) -> Allowed:
    """The user's word as patterns, which mean what they mean in `.gitignore`."""
    if not patterns:
        return lambda _: False
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns).match_file
