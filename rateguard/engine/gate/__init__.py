"""The gate: contract.py says what it does, memory.py and redis.py are its twins."""
