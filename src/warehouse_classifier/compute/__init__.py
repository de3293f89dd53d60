"""Where a stage runs. No noun and no stage knows it."""
