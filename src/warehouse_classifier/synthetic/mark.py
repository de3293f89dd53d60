"""The mark that tells a drawn photo from one that a camera took: a comment in its JPEG."""

MARK = b"drawn by warehouse-classifier"
HEAD = 1024  # bytes of a JPEG among which it stands


def is_drawn(body: bytes) -> bool:
    """Whether a photo is as it was drawn; one that was saved again may have lost its mark."""
    return MARK in body[:HEAD]
