"""A simulated provider: an own process that enforces its own limits and writes its own bill, as an outside witness.

It shares no code with rateguard's money and limits; only the token counter is the same.
"""
