"""What can go wrong on the command line."""

from chapkit.core.errors import ConfigurationError


class CommandLineError(ConfigurationError):
    """The command line names something that cannot be worked with."""
