"""Azure OpenAI: OpenAI's dialect at a resource's own address, by a deployment's name."""
