"""Anthropic: messages, in both versions of the API. Source: Claude's API reference of autumn 2026, and recorded replies."""
