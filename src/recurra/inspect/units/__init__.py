"""Units: inputs that activate them, association with labels, and the effect of their ablation."""
