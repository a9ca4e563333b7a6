"""One module a command; each is thin and calls one function of the inside."""
