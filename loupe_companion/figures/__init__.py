"""The figures: a file for each, with what it shows as a picture, a table and a sentence."""
