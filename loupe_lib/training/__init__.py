"""Trains LOUPE: configuration, the two rounds, the step in plain PyTorch, checkpoints."""
