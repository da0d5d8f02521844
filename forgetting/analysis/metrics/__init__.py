"""Metrics: one number for every frame."""
