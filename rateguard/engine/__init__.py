"""What decides: plain Python and Lua. Nothing here imports Django."""
