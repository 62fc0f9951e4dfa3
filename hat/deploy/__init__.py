"""From an integer model to a compiled program, its estimated performance, and running it.

Nothing is imported here: compiling does without torch, and the processes that compile for several
machines start quickly because of that.
"""
