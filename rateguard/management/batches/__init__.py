"""`manage.py submit`: a file of jobs, by REST or in the project's own database."""
