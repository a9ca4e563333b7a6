"""Providers that speak OpenAI's dialect: each is a preset, an entry of presets.toml or of a project's settings. No code of their own."""
