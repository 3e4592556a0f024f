"""A machine for training, with a plain checkout, may lack the frameworks."""

from importlib.util import find_spec

PACKAGES = {
    "accelerate": "accelerate",
    "ignite": "ignite",
    "lightning": "pytorch_lightning",
    "transformers": "transformers",
}
collect_ignore = [f"test_{name}.py" for name, module in PACKAGES.items() if not find_spec(module)]
