"""What went wrong and what to do about it, in one line."""


class UserError(Exception):
    """An expected failure. Its text names the thing that is wrong, where it stands, and the way out.

    Whoever started the work prints it as one line without a traceback and exits non-zero.
    """
