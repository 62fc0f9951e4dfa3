"""Movement of the elements of quantised tensors."""
