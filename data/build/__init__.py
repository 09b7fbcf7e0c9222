"""Seeded generators of everything under ``data/built``; the descriptor names each one's module."""
