"""What each address answers: it reads what is asked, calls one query, renders one template."""
