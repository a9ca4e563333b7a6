"""/api/v1/pauses."""
