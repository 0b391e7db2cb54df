"""The migrations, oldest first; one head."""
