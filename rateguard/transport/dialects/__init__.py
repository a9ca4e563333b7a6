"""The dialects of official clients: what one asks in its own words, and how our refusals are told in them."""
