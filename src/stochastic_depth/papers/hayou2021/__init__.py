"""Hayou & Ayed 2021, Regularization in ResNet with Stochastic Depth (NeurIPS)."""
