"""What every request comes through: who is let in, which paths there are, and the page where people log in."""
