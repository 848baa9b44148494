"""What is shown of jobs, clips and reports: plain functions from the domain's objects to JSON."""
