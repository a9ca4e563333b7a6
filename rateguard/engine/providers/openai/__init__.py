"""OpenAI's dialect: chat completions, streams and embeddings, at OpenAI or any base URL that speaks it."""
