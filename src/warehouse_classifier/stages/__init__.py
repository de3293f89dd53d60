"""One file a stage. They read top to bottom: what, parameters, act, pure functions."""
