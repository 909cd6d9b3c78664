"""What operators see: numbers and readiness. It listens to signals; nothing waits for it."""
