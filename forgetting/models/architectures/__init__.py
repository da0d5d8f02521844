"""Network architectures, one paper a file."""
