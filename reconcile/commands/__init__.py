"""The words of `reconcile`, a module each: `reconcile replay` is `replay.py`.

Each holds its `command`, and imports what its work needs only when it works. Nothing else has to
know of it.
"""
