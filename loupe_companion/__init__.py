"""What reproduces the paper: sweeps, results, figures, claims, the book, the command line."""
