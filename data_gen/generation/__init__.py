"""Data sets by the thousand: example by index, jobs, locks, workers, the writer."""
