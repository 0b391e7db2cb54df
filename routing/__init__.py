"""Every decision, pure: the clock and chance are arguments, nothing here waits or speaks to anyone."""
