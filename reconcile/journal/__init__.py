"""What a run remembers of what it found."""
