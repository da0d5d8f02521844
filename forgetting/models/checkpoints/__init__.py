"""Files of weights: our own, and those of other programs, which are read as data."""
