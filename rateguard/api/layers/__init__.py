"""Layers of raw ASGI around Django: bodies are bounded, answers wait, threads are few."""
