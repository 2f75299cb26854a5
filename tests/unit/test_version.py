from importlib.metadata import version

from dayfly._version import __version__


def test_the_version_in_the_code_is_the_version_that_was_installed() -> None:
    assert __version__ == version("dayfly")
