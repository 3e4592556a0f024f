"""Images in: the embedded heads, fastMRI, and files of other formats."""
