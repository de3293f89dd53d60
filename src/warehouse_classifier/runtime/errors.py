"""What went wrong and what to do about it, in one line."""


class UserError(Exception):
    """An expected failure. Its text names the thing that is wrong, where it stands, and the way out.

    Whoever started the work prints it as one line without a traceback and exits non-zero.
    """


def refuse_too_many(rejected: list[str], most: int, stage: str, what: str) -> None:
    """Raises UserError for more rejected things than the `most` there may be. `rejected`: what each is, and why."""
    if len(rejected) > most:
        raise UserError(
            f"{stage}: more {what} are rejected than max_rejected says; raise it or mend the bucket"
            f" (among them: {'; '.join(rejected[:3])})"
        )
