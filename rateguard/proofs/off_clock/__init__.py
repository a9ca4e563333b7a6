"""A folder that, first on PYTHONPATH, gives a process a wrong clock."""
