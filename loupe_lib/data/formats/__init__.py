"""Readers of foreign image files: NIfTI, DICOM, arrays."""
