"""The version of this package, read once from its metadata."""

from importlib.metadata import version

__version__ = version("chapkit")
