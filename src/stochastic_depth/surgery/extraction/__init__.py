"""Extraction: a subnetwork as a module of its own."""

from ._extract import extract

__all__ = ["extract"]
