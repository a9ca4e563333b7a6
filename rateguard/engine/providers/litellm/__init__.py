"""Whatever an installed `litellm` knows, for those who want it: it is no dependency, and it costs far more time a call than an adapter."""
