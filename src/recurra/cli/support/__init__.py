"""Options, files and messages that several commands share."""
