"""Importing this module registers everything that a config can name."""

import hat.data.datasets
import hat.data.transforms
import hat.deploy.board_predictor
import hat.deploy.network_board_predictor
import hat.engine
import hat.metrics
import hat.models
import hat.visualize  # noqa: F401
