"""Jobs: from a config to a film in the folder of a run."""
