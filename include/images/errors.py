"""What can go wrong with a picture, and whether trying again can help."""

from __future__ import annotations

# Codes of a failure that the same bytes would bring about again.
FINAL = ("broken", "type", "too-large", "bomb")


class ImageError(Exception):
    """Base of all. `code` is a short word for programs, the text is for people."""

    code = "error"
    permanent = False


class Rejected(ImageError):
    """The picture itself is at fault: no retry can help."""

    permanent = True

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Killed(ImageError):
    """The child that decoded the picture ran out of time or memory, or died."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class SettingError(ImageError):
    """An environment variable or a Connection is wrong: its name, and what is wrong with it."""

    code = "setting"


class RecipeError(ImageError):
    """The recipe file is wrong: file, field and what is wrong with it."""

    code = "recipe"
    permanent = True
