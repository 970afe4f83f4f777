"""Marion, Fermanian, Biau & Vert 2022, Scaling ResNets in the Large-depth Regime (JMLR 2025)."""
