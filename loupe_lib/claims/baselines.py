"""4S against what one would use instead: other binarizations, fixed masks, lines."""

TEST = """\
The paper makes no claim here, so there is no verdict. Every mask gets the same decoder, images,
seeds and number of epochs, and the exact budget of $N^2/R$ samples (for lines $N/R$ whole
columns): learned masks keep their most probable entries. The difference is the test PSNR of 4S
minus that of the other, paired by seed; points are compared with points and lines with lines. Of
the soft slope fixed by a grid, the one of the lowest validation loss stands for the grid. Where
an interval leaves out 0 the difference is shown; one interval in twenty would leave it out by
chance alone."""
