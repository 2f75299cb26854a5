"""To come."""


def install() -> None:
    """Nothing yet."""
