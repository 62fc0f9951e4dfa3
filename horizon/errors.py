"""The one exception that means "the user's input is wrong"."""


class InputError(Exception):
    """Bad input: a file, a config key or a layer.

    The message names what is wrong, what was found, what was expected and the next step. Command
    lines print it without a traceback and exit with code 2.
    """
