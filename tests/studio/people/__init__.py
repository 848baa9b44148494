"""Accounts, logins and ownership."""
