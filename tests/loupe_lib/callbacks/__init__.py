import warnings

# Ignite imports it; it compiles functions with torch.jit.script, which is deprecated.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import torch.distributed.optim  # noqa: F401
