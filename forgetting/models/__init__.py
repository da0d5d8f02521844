"""Networks, their units, their latents, and where their weights come from."""
