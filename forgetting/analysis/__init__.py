"""What films show: metrics, forgetting curves, comparisons and galleries."""
