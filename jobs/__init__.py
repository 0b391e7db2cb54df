"""What a job is: its states, its words, its settings, and the one place that keeps it."""
