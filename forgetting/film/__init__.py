"""Films: from frames to files."""
