"""What can happen to objects. One class a subject, each over one realm."""
