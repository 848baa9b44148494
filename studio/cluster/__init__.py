"""Batches on many machines: Ray brings one worker to each GPU, the database and a shared folder do the rest."""
