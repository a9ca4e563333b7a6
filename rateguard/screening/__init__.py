"""What stands between callers and providers: a project's own code that may change, refuse or redact requests and answers."""
