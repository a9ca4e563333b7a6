"""The books: rows, ledger, rollups, gate and the provider's bill, compared, and each difference named."""
