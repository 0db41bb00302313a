"""Windows over the axis of `created`: where to cut, what is done, a window's pages."""
