"""One table of cases for the dialects of all providers."""
