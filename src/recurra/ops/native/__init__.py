"""The native engine: the bindings of the C++ code, and how torch calls it."""
