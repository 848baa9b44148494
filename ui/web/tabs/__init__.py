"""The tabs of the page. Each module has `build(shell)`, which returns a frozen dataclass of its components."""
