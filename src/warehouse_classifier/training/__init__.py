"""The one training loop, for every network."""
