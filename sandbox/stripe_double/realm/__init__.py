"""One account in one mode: what it holds, its time, its switches."""
