"""The gallery: static pages of films."""
