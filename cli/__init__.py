"""The `tokenyard` command, and the supervisor that runs a yard on one machine."""
