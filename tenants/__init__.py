"""Tenants: who pays, what they may use, and what it cost."""
