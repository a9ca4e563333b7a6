"""Where LLM work is sent: the contract, the HTTP client, and one same-shaped folder a provider."""
