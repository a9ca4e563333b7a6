"""/api/v1/failures."""
