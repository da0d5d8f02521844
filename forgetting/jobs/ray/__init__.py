"""Renders the segments of films on a Ray cluster."""
