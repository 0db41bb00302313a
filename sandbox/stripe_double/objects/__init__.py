"""The kinds of objects that the double keeps, one file each; `catalogue` lists them."""
