"""What 4S is compared with: fixed masks, other binarizations, another schedule."""
