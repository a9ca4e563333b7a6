"""OpenAI: chat completions, responses, embeddings. Source: OpenAI's OpenAPI specification and recorded replies."""
