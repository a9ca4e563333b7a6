"""What a person switches: pauses, breakers, runs."""
