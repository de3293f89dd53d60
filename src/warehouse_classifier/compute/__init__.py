"""Where a stage runs. No stage knows it."""
