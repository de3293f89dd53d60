"""`warehouse-classifier report`: the report with the facts of its runs."""
