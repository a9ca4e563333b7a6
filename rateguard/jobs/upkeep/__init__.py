"""What keeps gate, rows and bills the same: rebuild, recover, compare, reconcile."""
