"""What is measured and how; results live as data in benchmarks/results."""
