"""Generation: a language model continues a text."""
