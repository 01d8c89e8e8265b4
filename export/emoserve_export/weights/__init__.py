"""Checkpoints in: formats, refusals, and loading into a module."""
