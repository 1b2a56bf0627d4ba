"""How fast, how well: each public module is one benchmark, ``python -m benchmarks`` runs them all."""
