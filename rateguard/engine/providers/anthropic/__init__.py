"""Anthropic's dialect: the Messages API, in both of its versions, whole and streamed."""
