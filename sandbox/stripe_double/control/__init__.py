"""What a test or a scenario can do and see."""
