"""From an integer model to a compiled program, and running that on images."""

from hat.deploy.board_program import BoardProgram
from hat.deploy.build import compile_model
from hat.deploy.summary import summary

__all__ = ["BoardProgram", "compile_model", "summary"]
