"""Transcription: the text of a recording, by connectionist temporal classification (CTC)."""
