"""The tries to get one object, and when to give it up while the bucket gives others."""

import time
from collections import Counter
from pathlib import Path

from warehouse_classifier.bucket import retry
from warehouse_classifier.bucket.client import Client
from warehouse_classifier.bucket.errors import ObjectRefused, TransientError, WrongAnswer
from warehouse_classifier.bucket.objects import ObjectInfo, Unreadable, folder_of
from warehouse_classifier.bucket.retry import TRIES_WRONG, Retries
from warehouse_classifier.runtime.errors import UserError

TRIES_OTHER = 3  # tries that bring one other ETag, before an object counts as changed
TRIES_FAILED = 12  # failed tries of an object while others come, before it is given up
TRIES_UNPROVEN = 3  # failed tries before we ask whether the bucket answers at all
TRIES_REFUSED = 3  # tries of an object that is missing or denied


class Attempts:
    """Each `after_...` takes the error of one try: it waits for the next one and returns None, or gives the object up.

    All raise UserError where the bucket as a whole cannot be read.
    """

    def __init__(self, entry: ObjectInfo, client: Client, retries: Retries) -> None:
        self.entry, self.client, self.retries = entry, client, retries
        self.failed = 0  # tries without an answer, those apart that a busy server refused: more of them, more time
        self._transient = 0  # all tries without an answer
        self._first_failure = 0.0  # when the first of them ended; 0: none has
        self._proven = 0  # failed tries while the bucket did answer
        self._answers_then = 0  # answers of the bucket at the last failed try
        self._wrong = self._refused = 0
        self._etags: Counter[str | None] = Counter()  # of what came in place of the object

    def after_transient(self, error: TransientError) -> Unreadable | None:
        """A try brought no answer."""
        self._transient += 1
        self._first_failure = self._first_failure or time.monotonic()
        if error.busy:
            too_long = time.monotonic() - self._first_failure > retry.SILENCE
            if too_long and self._bucket_answers():
                return Unreadable(f"could not be had in {retry.SILENCE:.0f} seconds: {error}")
        else:
            self.failed += 1
            # a try that fails while nothing comes at all says nothing of this object
            came = self.retries.answers != self._answers_then
            self._proven += self.failed <= TRIES_UNPROVEN or came or self._bucket_answers()
            self._answers_then = self.retries.answers
        if self._proven >= TRIES_FAILED:
            return Unreadable(f"could not be had in {self.failed} tries: {error}")
        self.retries.wait_after(error, self._transient, self.entry.key)
        return None

    def after_wrong(self, error: WrongAnswer) -> Unreadable | None:
        """What came is not what was listed. Raises UserError where it is another object than was listed, again and again."""
        self.retries.answered()
        self._wrong += 1
        self._etags[error.etag] += 1
        if error.etag is not None and self._etags[error.etag] >= TRIES_OTHER:
            self.client.refuse_changed(self.entry, f"ETag {self.entry.etag}, now {error.etag}")
        if self._wrong >= TRIES_WRONG:
            return Unreadable(str(error))
        self.retries.pause_after(self._wrong, longest=1.0)
        return None

    def after_refusal(self, error: ObjectRefused) -> Unreadable | None:
        """The object is missing or denied."""
        self.retries.answered()
        self._refused += 1
        if self._refused >= TRIES_REFUSED or isinstance(self.client.place, Path):
            return Unreadable(str(error))
        self.retries.pause_after(self._refused)
        return None

    def _bucket_answers(self) -> bool:
        """Whether the bucket gives an answer, which one object that never comes does not tell."""
        try:
            self.client.page(folder_of(self.entry.key), None, 0)
        except TransientError:
            return False
        except (WrongAnswer, UserError):
            pass
        self.retries.answered()
        return True
