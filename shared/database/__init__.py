"""PostgreSQL: connections, what goes wrong with them, the schema's name and owner."""
