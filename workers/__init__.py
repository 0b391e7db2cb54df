"""The only place that waits: workers, the dispatcher, the gate and the road to the providers."""
