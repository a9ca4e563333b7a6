"""What the command line adds to Django's manage.py."""
