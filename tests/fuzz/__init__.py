"""`make fuzz`: all property tests, again and again, with new seeds."""
