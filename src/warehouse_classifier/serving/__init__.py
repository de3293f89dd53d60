"""Trained networks that answer: in `check`, in MLflow, and why they answer so."""
