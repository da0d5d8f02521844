"""Renders segments of films on a Ray cluster."""
