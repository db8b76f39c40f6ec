"""What the commands of the project return to the shell, the same numbers everywhere.

The commands of every package of the project take them from here. Imports nothing.
"""

OK = 0
FAILED = 1  # the work could not be done; one line on standard error says why
USAGE = 2  # an option is unknown or has an impossible value, as argparse and tyro return it
SKIPPED = 3  # the work was done, but some inputs were reported and skipped
INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT, as shells count
