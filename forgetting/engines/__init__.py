"""Engines: rows of a plan in, frames of bytes out."""
