"""The door for jobs: /api/v1. A view reads, calls one function of the inside, renders; nothing is decided here."""
