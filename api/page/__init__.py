"""The page at `/`: what the yard does, what it costs and what failed, for a person with an admin key."""
