"""The form of the tab Create: fields made of a model's row, what fills them, and what its buttons do."""
