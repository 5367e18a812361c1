"""Which options the help of a command shows, and the defaults in it."""
