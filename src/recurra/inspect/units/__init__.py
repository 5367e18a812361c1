"""Units: when they are active, which labels they follow, and what happens without them."""
