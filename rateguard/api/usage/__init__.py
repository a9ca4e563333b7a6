"""/api/v1/usage."""
