"""What the yard is held against: the Celery app a user writes in an afternoon, and a client without any record."""
