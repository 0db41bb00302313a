"""The report: what a run found, and its renderings."""
