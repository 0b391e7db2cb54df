"""Readers of others' price lists: bytes in, sightings out; nothing here asks the net."""
