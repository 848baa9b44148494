"""Small weights that ship with the studio, and how they were trained."""
