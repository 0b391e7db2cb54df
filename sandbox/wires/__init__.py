"""What the providers that the sandbox stands in for speak: one wire each, with its own checks, shapes and errors."""
