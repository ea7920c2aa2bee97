"""The one exception for what a user can mend: bad input, a bad option, a full disk foreseen."""


class InputError(ValueError):
    """Something the user gave is wrong. The message is one line: where, what, which value, what to do.

    Command lines (spk/bin) print it without a traceback and exit with status 1; any other exception is our bug and
    keeps its traceback.
    """
