"""What people change: a file a thing. Each function is one transaction that checks who asks, validates, writes and audits.

The doors (REST, the shell, the admin) call these and nothing below them. They raise InvalidRequest, whose pointer names the field, and
NotAllowed. A change acts on the jobs that wait already, as every change of the configuration does.
"""
