"""The networks: how each is built, saved and loaded, and on what device it computes."""
