"""Exit codes shared by the commands of all packages. Imports nothing."""

OK = 0
FAILED = 1  # one line on stderr says why
USAGE = 2  # unknown option or invalid value; argparse and tyro use the same code
SKIPPED = 3  # done, but some inputs were reported and skipped
BROKEN_PIPE = 141  # nobody reads standard output any more; 128 + SIGPIPE, as shells count
INTERRUPTED = 130  # Ctrl-C; 128 + SIGINT by shell convention
