"""rateguard: LLM work from many tenants, done under limits, in a fair order, without losing a job or a cent."""
