"""The error of files that break a rule. Imports nothing."""


class DataFileError(ValueError):
    """A file of images, depth or records breaks a rule; the message names the file and the rule."""
