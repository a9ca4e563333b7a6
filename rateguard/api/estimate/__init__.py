"""/api/v1/estimate."""
