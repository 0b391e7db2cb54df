"""Fault tests: whole yards of real processes, killed, frozen and robbed under load."""
