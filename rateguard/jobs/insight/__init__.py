"""Questions about the gate and the rows, answered: what limits whom, what is left, what is in the way."""
