"""One try of a job at a provider: claimed, called, judged, settled."""
