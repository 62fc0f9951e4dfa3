"""Synthetic pairs of images with exact optical flow, after the distributions of FlyingChairs."""
