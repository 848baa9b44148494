"""The parts of a request, each filled and checked by the model's row."""
