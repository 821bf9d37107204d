"""What `bench/reliability` consists of: attacks, a well-behaved client beside them, and what the server shows meanwhile."""
