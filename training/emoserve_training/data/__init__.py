"""Readers of the data sets, each in the layout in which people have it."""
