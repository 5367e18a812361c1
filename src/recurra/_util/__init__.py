"""Helpers without knowledge of recurrent networks: files, messages, schemas, pictures."""
