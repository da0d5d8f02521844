"""Orderings: in which order units are ablated."""
