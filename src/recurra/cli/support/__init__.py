"""What several commands share: options, files, messages."""
