"""`manage.py doctor`: one look at all that rateguard depends on. A file a subject; each gives findings, each finding its remedy.

finding.py says what a finding is, within.py how long a look may take, looking.py which subjects there are; listing.py asks a provider for
its models, which costs nothing.
"""
