"""What every stage stands on: errors for people, whole files, checked parameters, progress."""
