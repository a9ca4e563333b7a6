"""Routing: which of a model's deployments is asked first. Pure functions; the gate takes the first of their list that has room."""
