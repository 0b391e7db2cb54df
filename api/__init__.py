"""The HTTP front: thin, it reads, records and answers."""
