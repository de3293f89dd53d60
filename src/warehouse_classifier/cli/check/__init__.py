"""`warehouse-classifier check`: photos against what the inventory expects."""
