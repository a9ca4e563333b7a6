"""The pages for people: what is going on now, what each tenant used, what became of each job. Nothing else imports this package."""
