"""Errors of files that cannot be read."""


class UnreadableImageError(ValueError):
    """A file is not an image, is damaged or too large, or its pixels are not colors. The message names it."""


class UnreadableVideoError(ValueError):
    """A file is not a video, holds no frames, or is damaged. The message names it."""
