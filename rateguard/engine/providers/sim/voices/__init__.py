"""The dialects that the simulated provider speaks: a folder each, with the same files, behind the contract of voice.py.

request.py: what a request asks for. answer.py: an answer, whole and streamed. limits.py: what is counted, and what headers tell of it.
refusals.py: each error and each fault in the provider's words. voice.py: the four put together.
"""
