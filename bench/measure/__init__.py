"""What `bench/run` is made of: places, peers, generators, workloads, tables and plots."""
