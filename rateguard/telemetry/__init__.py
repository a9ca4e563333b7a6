"""Logs, and what never enters them."""
