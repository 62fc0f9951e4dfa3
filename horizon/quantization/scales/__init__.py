"""Scales: how they are observed, followed and kept, and whether an input fits the one it has."""
