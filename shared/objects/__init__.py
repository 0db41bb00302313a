"""What is mirrored: how an object is declared, each declaration, and the catalogue of all."""
