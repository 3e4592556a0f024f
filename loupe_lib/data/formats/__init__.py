"""Readers of other people's image files: NIfTI, DICOM, arrays."""
