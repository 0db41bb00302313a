"""What a nightly run costs."""
