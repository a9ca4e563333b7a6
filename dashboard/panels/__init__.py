"""From figures to what a template shows: texts, shares, series. Pure."""
