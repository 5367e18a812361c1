"""Values of options: from a TOML file, and those that a shell completes."""
