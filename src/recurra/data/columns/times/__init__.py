"""Internals of `columns.timestamps`: formats, spellings, time zones, and the choice between possible readings."""
