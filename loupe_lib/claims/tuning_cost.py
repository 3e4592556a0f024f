"""What it costs to find the best fixed slope, and what one run of 4S costs."""

TEST = """\
The point of 4S is tuning, so tuning is measured: for one seed, the trainings and epochs that a
search over the grid of fixed slopes takes, and what keeping the best of its models by validation
loss reaches on the test images; beside it one run of 4S. Seconds are each run's share of the
time of the pack it was trained in, on the device that trained it."""
