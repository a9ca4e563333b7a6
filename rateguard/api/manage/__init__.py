"""Management by REST, under /api/v1/manage: thin views, a file a thing, over the functions of `tenants.changes`."""
