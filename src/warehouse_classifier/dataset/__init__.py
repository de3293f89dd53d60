"""Photos on their way to a network."""
