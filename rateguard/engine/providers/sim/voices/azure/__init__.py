"""Azure OpenAI: OpenAI's bodies at a deployment's address, with headers, limits and errors of its own. Source: recorded replies."""
