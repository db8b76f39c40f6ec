"""Evaluates models and baselines by named protocols."""
