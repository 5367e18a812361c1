"""Commands about models: what they are, and which of two is better."""
