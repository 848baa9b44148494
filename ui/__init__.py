"""Front ends: the terminal today; REST and the browser follow."""
