"""What the queue costs: per job, per worker, and with ten thousand jobs in it."""
