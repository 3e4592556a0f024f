"""Other people's images: from fastMRI, NIfTI, DICOM and arrays to an image file."""
