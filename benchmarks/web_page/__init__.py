"""How quick the page is with a large library, and whether it keeps its size over many visits."""
