"""Frames -> files: composing, encoding, segments, recipes and the folder of a run."""
