"""Training steps of nine models, here and in other libraries: the same arrays, the same losses, one machine."""
