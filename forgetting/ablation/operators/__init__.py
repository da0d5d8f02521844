"""Operators: what replaces a unit's activation."""
