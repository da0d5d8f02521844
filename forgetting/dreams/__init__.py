"""Dreams: gradient ascent on what a classifier recognises, as a source of frames."""
