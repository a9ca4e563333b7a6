"""Rows become the gate's records: pure of settings but for defaults, and of the gate itself."""
