"""Results made readable. Reports know results only: no processes, no specs, no checks."""
