"""Does this bin hold as many items as the inventory says? A count from one photo."""
