"""Reading, packing, transforming and collating pairs of images with their flow."""
