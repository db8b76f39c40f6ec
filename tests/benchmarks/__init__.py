"""Figures, each as a ratio measured in one run; run by hand, or all by `make bench`."""
