"""The demo: the whole line on one machine, from nothing, with real work under real limits.

A run in order (run.py): servers (place.py), tenants and limits (scenario.py), requests (workload.py) submitted by two doors
(submitting.py, shop/), then the worker; the viewer watches (observe.py, view.py); at the end the books and the score (score.py).
"""
