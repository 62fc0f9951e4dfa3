"""Flow of a sequence of frames: pictures or a video in, files, pictures or a video out."""
