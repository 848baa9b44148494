"""Every model the studio knows, as data: the shape of a row, the rows, and their loader."""
