"""The one place where the figures of the pages come from: rows and the gate, through `Access`, as values."""
