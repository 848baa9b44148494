"""What clips cost: list prices beforehand, a ledger of every order, and what is read from it."""
