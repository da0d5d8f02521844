"""Sheets of faces, to choose from by looking."""
