"""Models and baselines measured by named protocols."""
