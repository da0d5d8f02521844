"""What scripts and notebooks use, beside the parts themselves."""
