"""The simple models of the many-to-one tasks, which networks are compared with."""
