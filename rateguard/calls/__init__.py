"""Synchronous calls: in at the gate, out by the same settle as jobs. A call has no row before it ends: its reservation is its record."""
