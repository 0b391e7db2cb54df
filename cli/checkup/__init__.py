"""What `tokenyard doctor` looks at, one module a subject; the decisions are pure and take what was seen."""
