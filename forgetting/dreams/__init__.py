"""Dreams: pictures that change until a classifier's activations grow, as a source of frames."""
