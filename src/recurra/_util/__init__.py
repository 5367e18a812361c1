"""Helpers that do not depend on recurrent networks: files, messages, schemas and pictures."""
