"""Dreaming: pictures change until a network that sees finds in them more of what it knows."""
