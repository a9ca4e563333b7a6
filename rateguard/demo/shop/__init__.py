"""A small Django app of somebody who uses rateguard: questions of customers, answered by a model through `.delay()`."""
