"""Batches: many jobs that come in together, all or none; how they stand, what they answered, and their end."""
