"""Procedural RGB-D scenes with exact depth, and the photographs that they are textured with."""
