"""/api/v1/runs."""
