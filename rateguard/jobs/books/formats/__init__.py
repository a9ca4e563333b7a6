"""Bills as providers write them: by attempts, or by day and model."""
