"""Many handlers: which, in what order, how many at one time, and what is kept of them."""
