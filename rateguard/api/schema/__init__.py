"""How the API describes itself: the schema, its page, the page of errors."""
