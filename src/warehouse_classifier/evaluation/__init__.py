"""What predictions are worth: numbers only, no drawings."""
