"""The plots of what was measured."""
