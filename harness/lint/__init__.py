"""What can be said of a package without running any code of it."""
