"""What every process has that holds reservations, worker or web: a heartbeat, a thread for the database, the writer of ends."""
