"""Packers: raw data sets to LMDB folders that train fast."""
