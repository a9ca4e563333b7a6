"""/api/v1/models."""
