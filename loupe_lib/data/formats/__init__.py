"""Readers of image files: fastMRI, NIfTI, DICOM, arrays."""
