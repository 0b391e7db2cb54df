"""What the yard learns from what it did: sums that add up across workers, and what follows from them."""
