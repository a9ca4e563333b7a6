"""`manage.py up`: the whole line on one machine, for real work, with a state that lasts.

What lies in the state's folder is made once (state.py); what the processes find in their environment is made of it (place.py);
run.py starts everything in order, accounts.py makes deployments of the provider keys in the environment (catalogue.py: which, and with
which limits), door.py makes the first tenant and its key, telling.py says what there is.
"""
