"""Train residual networks whose depth is random."""
