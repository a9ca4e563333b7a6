"""What was used and what it cost, read from the rollups."""
