"""What films say: metrics, forgetting curves, comparisons and galleries."""
