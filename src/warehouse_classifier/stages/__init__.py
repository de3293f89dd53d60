"""One file a stage. They read top to bottom: what, knobs, act, thoughts, wire."""
