"""Bins that are drawn on demand, deterministic by id."""
