"""Trained weights, wherever they come from."""
