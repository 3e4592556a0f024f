"""The training step for NVIDIA GPUs with Triton; :mod:`loupe_lib.fast.learner` is its face."""
