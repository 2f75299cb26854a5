"""The one place the version is written: the build and the command line both read it here."""

__version__ = "0.1.0"
