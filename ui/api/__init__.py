"""The REST API: the studio's services over HTTP, for programs. It never generates; workers do."""
