"""Jobs: their states, the quarantine that keeps what was made, and the run of one job."""
