"""From what a caller asks for to a row: checked, allowed, estimated, inserted."""
