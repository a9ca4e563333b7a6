"""Limits: their value types, the pure rule of each kind, and the same rules as a Lua fragment."""
