"""/api/v1/limits, scopes, capacity, breakers and events."""
