"""Wire dialects: a request out, an answer or a failure back. No I/O, and none knows another."""
