"""What people do to jobs that there are: put back in line, moved to another lane, and many at a time."""
