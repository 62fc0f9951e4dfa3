"""Files of earlier versions are read, and give the same integers."""
