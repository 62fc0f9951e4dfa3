"""What goes wrong without being a bug of the caller: commands print it and exit with code 2."""


class InputError(Exception):
    """Bad input: a file, a config key or a layer.

    The message names what is wrong, what was found, what was expected and the next step. Command
    lines print it without a traceback and exit with code 2.
    """


class CapacityError(InputError):
    """Good input that does not fit: a machine's memory or a size of the format is too small."""


class CompilerError(InputError):
    """A fault of this tool chain: what the compiler made breaks a rule. The input may be good."""
