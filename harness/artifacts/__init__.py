"""Things on disk: the run directory, model packages, payload samples. Only read outside it."""
