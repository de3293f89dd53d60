"""How numbers are shown: the page, its charts and its words."""
