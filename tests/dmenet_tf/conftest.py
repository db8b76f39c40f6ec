"""Property tests: none fails because the machine is busy, and all draw the same examples."""

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
