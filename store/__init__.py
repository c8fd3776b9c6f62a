"""MongoDB: the only package that imports a driver."""
