"""4S in the training loops of other frameworks; import the module of yours."""
