"""The faults of a campaign, a file a family. `kinds.py` names them all; `contract.py` says what a fault is."""
