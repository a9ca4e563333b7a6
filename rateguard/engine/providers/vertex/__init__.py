"""Vertex AI: Gemini's dialect, and Claude's, under Google Cloud's addresses and tokens."""
