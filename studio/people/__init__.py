"""People: who may come in from elsewhere, what each may do, and what is whose."""
